"""GET /workflow/health: what is configured, what answers, and nothing that is secret."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError

from marquee.api.health import SHORT, looked
from marquee.aws import client, table
from marquee.settings import Settings
from tests.support.api import Api
from tests.support.installation import installed

SECRET = "a-token-that-nobody-may-see"


def look(api: Api) -> Any:
    answer = api.get("/workflow/health")
    assert answer.status == 200
    assert SECRET not in answer.text
    return answer.json()


def put_secret(settings: Settings, name: str) -> None:
    boto3.client("ssm").put_parameter(
        Name=f"{settings.parameter_prefix}/{name}", Value=SECRET, Type="SecureString"
    )


@pytest.fixture
def settings() -> Iterator[Settings]:
    """An installation for each test: they take parts out of it."""
    looked.cache_clear()
    with installed("ApiFunction") as settings:
        yield settings


@pytest.fixture
def whole(settings: Settings) -> Api:
    """The API with all that the template gives it."""
    return Api(settings)


def sources(health: Any) -> dict[str, Any]:
    return {source["source"]: source for source in health["sources"]}


def parts(health: Any) -> dict[str, Any]:
    return {part["part"]: part for part in health["parts"]}


def test_an_installation_whose_parts_answer_is_ok(whole: Api) -> None:
    health = look(whole)
    assert health["status"] == "ok"
    assert health["stage"] == "prod"
    assert set(parts(health)) == {
        "movies_table",
        "reviews_table",
        "workflows_table",
        "tweets_table",
        "posts_table",
        "backfill_table",
        "gateway_table",
        "movie_search",
        "review_backfill",
        "tweet_pipeline",
        "secrets",
    }
    assert all(part["reachable"] and part["reason"] == "" for part in health["parts"])


def test_sources_say_by_name_what_they_lack(whole: Api) -> None:
    found = sources(look(whole))
    assert found["tmdb"]["lacks"] == ["/marquee/prod/movies/tmdb/token"]
    assert found["x"]["lacks"] == ["/marquee/prod/movies/x/bearer_token"]
    assert found["mastodon"]["lacks"] == ["MASTODON_BASE_URL"]
    assert not any(source["configured"] for source in found.values())


def test_a_source_with_all_its_secrets_is_configured(whole: Api) -> None:
    put_secret(whole.settings, "movies/tmdb/token")
    put_secret(whole.settings, "movies/bluesky/handle")
    found = sources(look(whole))
    assert (found["tmdb"]["configured"], found["tmdb"]["lacks"]) == (True, [])
    assert found["bluesky"]["configured"] is False
    assert found["bluesky"]["lacks"] == ["/marquee/prod/movies/bluesky/app_password"]


def test_a_source_of_a_setting_is_configured_with_it(settings: Settings) -> None:
    with_mastodon = settings.model_copy(update={"mastodon_base_url": "https://mastodon.example"})
    assert sources(look(Api(with_mastodon)))["mastodon"]["configured"] is True


@pytest.fixture
def posting(settings: Settings) -> Api:
    """The API of an installation with an account that posts."""
    return Api(settings.model_copy(update={"posting_account": "Marquee_Demo"}))


OWN = "/marquee/prod/tweets/marquee_demo/"


@pytest.mark.parametrize(
    ("stored", "lacks"),
    [
        ([], ["consumer_key", "consumer_secret", "access_token", "access_token_secret"]),
        (["consumer_key", "access_token"], ["consumer_secret", "access_token_secret"]),
        (["consumer_key", "consumer_secret", "access_token", "access_token_secret"], []),
        (["oauth2_tokens"], ["client_id"]),
        (["oauth2_tokens", "client_id"], []),
    ],
)
def test_the_account_that_posts_says_which_secrets_it_lacks(
    posting: Api, stored: list[str], lacks: list[str]
) -> None:
    for name in stored:
        put_secret(posting.settings, f"tweets/marquee_demo/{name}")
    put_secret(posting.settings, "tweets/somebody_else/access_token_secret")
    assert look(posting)["posting"] == {
        "account": "marquee_demo",
        "configured": not lacks,
        "lacks": [OWN + name for name in lacks],
        "schedules_enabled": False,
        "language_model": False,
    }


def test_the_language_model_is_there_with_its_key(posting: Api) -> None:
    put_secret(posting.settings, "tweets/openai/api_key")
    assert look(posting)["posting"]["language_model"] is True


def test_every_page_of_the_names_of_secrets_is_read(posting: Api) -> None:
    for number in range(60):
        put_secret(posting.settings, f"movies/aaa/{number}")
    put_secret(posting.settings, "tweets/openai/api_key")
    assert look(posting)["posting"]["language_model"] is True


def test_of_an_account_whose_secrets_cannot_be_listed_nothing_is_claimed(posting: Api) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectTimeoutError(endpoint_url=SECRET)

    client("ssm", SHORT).meta.events.register("before-call.ssm", refuse)
    found = look(posting)["posting"]
    assert (found["configured"], found["lacks"], found["language_model"]) == (None, [], None)


def test_a_part_that_is_gone_makes_it_degraded_with_the_name_of_the_error(whole: Api) -> None:
    table(whole.settings.reviews_table).delete()
    health = look(whole)
    assert health["status"] == "degraded"
    found = parts(health)
    assert found["reviews_table"]["reachable"] is False
    assert found["reviews_table"]["reason"] == "ResourceNotFoundException"
    assert found["movies_table"]["reachable"] is True


def test_a_part_that_is_not_set_up_is_said_to_be_misconfigured(settings: Settings) -> None:
    bare = Settings(stage="bare", parameter_prefix="/marquee/bare")
    health = look(Api(bare))
    found = parts(health)
    assert {name for name, part in found.items() if part["reason"] == "Misconfigured"} == {
        "movies_table",
        "reviews_table",
        "workflows_table",
        "tweets_table",
        "posts_table",
        "backfill_table",
        "gateway_table",
        "movie_search",
        "review_backfill",
        "tweet_pipeline",
    }


def test_where_the_secrets_cannot_be_listed_nothing_is_claimed(whole: Api) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectTimeoutError(endpoint_url=SECRET)

    client("ssm", SHORT).meta.events.register("before-call.ssm", refuse)
    health = look(whole)
    assert parts(health)["secrets"]["reason"] == "ConnectTimeoutError"
    found = sources(health)
    assert (found["x"]["configured"], found["x"]["lacks"]) == (None, [])
    assert found["mastodon"]["configured"] is False
    assert health["posting"] == {
        "account": "",
        "configured": False,
        "lacks": ["POSTING_ACCOUNT"],
        "schedules_enabled": False,
        "language_model": None,
    }


def test_however_often_it_is_asked_it_looks_once_in_ten_seconds(whole: Api) -> None:
    assert look(whole)["status"] == "ok"
    table(whole.settings.reviews_table).delete()
    assert look(whole)["status"] == "ok"
    whole.clock.sleep(10)
    assert look(whole)["status"] == "degraded"
