"""Settings name the variable at fault; secrets are read when needed, kept briefly, never shown."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from marquee.errors import Misconfigured
from marquee.settings import SECRETS_CACHED_FOR_SECONDS, Secrets, read_settings

ENVIRONMENT = {"STAGE": "prod", "PARAMETER_PREFIX": "/marquee/prod/movies"}
PREFIX = "/marquee/test/movies"


class Parameters:
    """An SSM that holds parameters and counts how often it is asked."""

    def __init__(self, **values: str) -> None:
        self.values = {f"{PREFIX}/{name.replace('__', '/')}": text for name, text in values.items()}
        self.asked: list[str] = []
        self.fault: str | None = None

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Any:
        assert WithDecryption
        self.asked.append(Name)
        code = self.fault or ("" if Name in self.values else "ParameterNotFound")
        if code:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "GetParameter")
        return {"Parameter": {"Value": self.values[Name]}}


def secrets_of(parameters: Any) -> Secrets:
    return Secrets(parameters, PREFIX)


def test_the_environment_becomes_settings() -> None:
    settings = read_settings({**ENVIRONMENT, "MOVIES_TABLE": "films", "SEARCH_FRESH_SECONDS": "60"})
    assert (settings.stage, settings.movies_table, settings.search_fresh_seconds) == (
        "prod",
        "films",
        60,
    )


def test_an_empty_variable_is_an_absent_one() -> None:
    settings = read_settings({**ENVIRONMENT, "X_BASE_URL": "", "SEARCH_FRESH_SECONDS": ""})
    assert settings == read_settings(ENVIRONMENT)


def test_what_is_no_setting_is_left_alone() -> None:
    assert read_settings({**ENVIRONMENT, "PATH": "/bin"}) == read_settings(ENVIRONMENT)


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
def test_a_missing_variable_is_named(missing: str) -> None:
    given = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    with pytest.raises(Misconfigured, match=f"environment variable {missing}: "):
        read_settings(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARAMETER_PREFIX", "marquee"),
        ("PARAMETER_PREFIX", "/marquee/"),
        ("TMDB_BASE_URL", "api.themoviedb.org"),
        ("TMDB_IMAGE_BASE_URL", "image.tmdb.org"),
        ("MASTODON_BASE_URL", "mastodon.social"),
        ("BACKFILL_WINDOW", "1-7"),
        ("BACKFILL_RESERVE_PERCENT", "101"),
        ("SEARCH_FRESH_SECONDS", "soon"),
        ("SEARCH_FRESH_SECONDS", "-1"),
    ],
)
def test_a_malformed_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"environment variable {name}: "):
        read_settings({**ENVIRONMENT, name: value})


def test_a_required_setting_that_is_not_there_is_named() -> None:
    settings = read_settings(ENVIRONMENT)
    with pytest.raises(Misconfigured, match="environment variable MOVIES_TABLE is not set"):
        settings.require("movies_table")
    assert (
        read_settings({**ENVIRONMENT, "MOVIES_TABLE": "films"}).require("movies_table") == "films"
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings(ENVIRONMENT).stage = "other"  # type: ignore[misc]  # what must fail


def test_a_secret_is_read_once_and_kept() -> None:
    parameters = Parameters(tmdb__token="abc")
    secrets = secrets_of(parameters)
    assert [secrets.get("tmdb/token"), secrets.require("tmdb/token")] == ["abc", "abc"]
    assert parameters.asked == [f"{PREFIX}/tmdb/token"]


def test_a_rotated_secret_is_in_use_after_five_minutes() -> None:
    parameters: Any = Parameters(tmdb__token="old")
    clock = [1000.0]
    secrets = Secrets(parameters, PREFIX, clock=lambda: clock[0])
    assert secrets.get("tmdb/token") == "old"
    parameters.values[f"{PREFIX}/tmdb/token"] = "new"
    clock[0] += SECRETS_CACHED_FOR_SECONDS
    assert secrets.get("tmdb/token") == "old"
    clock[0] += 1
    assert secrets.get("tmdb/token") == "new"


def test_an_absent_secret_is_none_and_a_required_one_is_named() -> None:
    secrets = secrets_of(Parameters())
    assert secrets.get("x/bearer_token") is None
    with pytest.raises(
        Misconfigured, match=f"the SSM parameter {PREFIX}/x/bearer_token is not set"
    ):
        secrets.require("x/bearer_token")


@pytest.mark.parametrize("pasted", ["abc\n", "  abc", "abc\r\n"])
def test_a_secret_loses_the_space_that_was_pasted_with_it(pasted: str) -> None:
    assert secrets_of(Parameters(tmdb__token=pasted)).get("tmdb/token") == "abc"


def test_a_blank_secret_is_an_absent_one() -> None:
    assert secrets_of(Parameters(tmdb__token=" \n")).get("tmdb/token") is None


def test_a_refused_read_is_no_absent_secret() -> None:
    parameters = Parameters(tmdb__token="abc")
    parameters.fault = "AccessDeniedException"
    secrets = secrets_of(parameters)
    with pytest.raises(ClientError):
        secrets.get("tmdb/token")
    parameters.fault = None
    assert secrets.get("tmdb/token") == "abc"


def test_the_representation_shows_names_and_no_values() -> None:
    secrets = secrets_of(Parameters(tmdb__token="s3cr3t"))
    secrets.get("tmdb/token")
    assert "tmdb/token" in repr(secrets)
    assert "s3cr3t" not in repr(secrets)
