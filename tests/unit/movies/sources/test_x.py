"""X: the query, the cursor, the price, answers as recorded, specified and from the stand-in."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import CreditsDepleted, RateLimited, UpstreamRefused, UpstreamUnavailable
from marquee.movies.models import Person
from marquee.movies.sources import Collected, SourceQuery
from marquee.movies.sources.relevance import needs_context
from marquee.movies.sources.x import MAX_QUERY_LENGTH, collect, search_query
from marquee.observability import tallying
from marquee.settings import Secrets, Settings
from marquee_cli.upstreams.query import parse
from tests.support.builders import a_movie
from tests.support.sources import Answers, some_secrets, some_settings
from tests.support.upstreams import Upstreams


def a_post(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{number}",
        "text": f"RRR is movie number {number} of the year for me &amp; my aunt",
        "created_at": "2026-03-14T18:00:00.000Z",
        "lang": "en",
        "edit_history_tweet_ids": [f"{number}"],
        **fields,
    }


def an_answer(*posts: dict[str, Any], **parts: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"result_count": len(posts)}
    if posts:
        meta |= {"newest_id": posts[0]["id"], "oldest_id": posts[-1]["id"]}
    answer: dict[str, Any] = {"meta": meta, **parts}
    return {"data": list(posts), **answer} if posts else answer


def ask(x: Answers, **fields: Any) -> Collected:
    query = SourceQuery(**{"movie": a_movie(), "max_reviews": 10, **fields})
    return collect(query, some_settings(), some_secrets(), client=x.client)


def refused(status: int, **body: Any) -> httpx.Response:
    return httpx.Response(status, json={"status": status, **body})


def test_a_post_is_read_with_its_link_and_language() -> None:
    (review,) = ask(Answers(an_answer(a_post(5)))).reviews
    assert review.text == "RRR is movie number 5 of the year for me & my aunt"
    assert (review.source, review.review_id, review.author) == ("x", "5", "")
    assert review.url == "https://x.com/i/web/status/5"
    assert review.language == "en"
    assert review.posted_at.isoformat() == "2026-03-14T18:00:00+00:00"


def test_a_long_post_is_read_whole() -> None:
    post = a_post(5, note_tweet={"text": "RRR, the movie, at length"})
    (review,) = ask(Answers(an_answer(post))).reviews
    assert review.text == "RRR, the movie, at length"


def test_users_who_cost_twice_what_a_post_does_are_not_asked_for() -> None:
    x = Answers(an_answer(a_post(5)))
    ask(x)
    assert not {"expansions", "user.fields"} & set(x.requests[0].url.params)


def test_the_newer_names_of_fields_change_nothing() -> None:
    post = a_post(5)
    post["edit_history_post_ids"] = post.pop("edit_history_tweet_ids")
    assert len(ask(Answers(an_answer(post))).reviews) == 1


def test_errors_beside_data_are_tolerated() -> None:
    gone = {"title": "Not Found Error", "resource_type": "user", "value": "9"}
    collected = ask(Answers(an_answer(a_post(5), errors=[gone])))
    assert (len(collected.reviews), collected.problem) == (1, "")


def test_nothing_found_keeps_the_cursor() -> None:
    collected = ask(Answers(an_answer()), cursor="4")
    assert (collected.reviews, collected.cursor) == ((), "4")


def test_the_search_goes_on_after_the_newest_known_post() -> None:
    x = Answers(an_answer(a_post(9), a_post(5)))
    collected = ask(x, cursor="4")
    assert x.requests[0].url.params["since_id"] == "4"
    assert collected.cursor == "9"
    assert x.requests[0].headers["authorization"] == "Bearer x-token"


def test_a_cursor_from_before_the_last_seven_days_is_given_up_once() -> None:
    x = Answers(refused(400, title="Invalid Request"), an_answer(a_post(9)))
    assert ask(x, cursor="4").cursor == "9"
    assert "since_id" not in x.requests[1].url.params


def test_a_search_that_is_refused_without_a_cursor_is_not_sent_again() -> None:
    x = Answers(refused(400, title="Invalid Request"))
    with pytest.raises(UpstreamRefused):
        ask(x)


def test_credits_and_limits_are_not_asked_twice() -> None:
    with pytest.raises(CreditsDepleted):
        ask(Answers(refused(402, detail="credits depleted")), cursor="4")
    with pytest.raises(RateLimited):
        ask(Answers(refused(429)), cursor="4")


@pytest.mark.parametrize("body", [[], "text", None])
def test_an_answer_that_is_no_object_is_an_outage(body: Any) -> None:
    with pytest.raises(UpstreamUnavailable):
        ask(Answers(body))


@pytest.mark.parametrize(("wanted", "asked"), [(1, "10"), (10, "10"), (42, "42"), (100, "100")])
def test_x_is_asked_for_what_it_takes_and_no_more_is_kept_than_wanted(
    wanted: int, asked: str
) -> None:
    posts = [a_post(number) for number in range(12, 0, -1)]
    x = Answers(an_answer(*posts))
    collected = ask(x, max_reviews=wanted)
    assert x.requests[0].url.params["max_results"] == asked
    assert len(collected.reviews) == min(wanted, 12)


def test_every_post_that_is_returned_is_paid_for() -> None:
    with tallying() as tally:
        ask(Answers(an_answer(a_post(9), a_post(5))), max_reviews=1)
    assert tally.cost_usd == pytest.approx(0.01)
    assert tally.calls == {"x.successful": 1}


def test_damaged_posts_and_namesakes_are_told_apart_from_reviews() -> None:
    collected = ask(
        Answers(
            an_answer(
                a_post(9, created_at="yesterday around noon"),
                a_post(8, text="movie \ud83d RRR"),
                a_post(7, text="reduce, reuse, recycle: our RRR week starts"),
                {"text": "RRR movie without an id", "created_at": "2026-03-14T18:00:00.000Z"},
                a_post(5),
                meta={"newest_id": "9"},
            )
        )
    )
    assert [review.review_id for review in collected.reviews] == ["5"]
    assert collected.irrelevant == 1
    assert [found.reason for found in collected.unreadable] == [
        "not a date: 'yesterday around noon'",
        "text: bad encoding: a lone surrogate, half a character",
        "the field id is missing",
    ]
    assert collected.fetched == 5


def test_a_title_without_a_letter_is_not_searched() -> None:
    x = Answers()
    collected = ask(x, movie=a_movie(title="???", original_title="???"))
    assert "no letter" in collected.problem
    assert x.requests == []


def test_a_common_word_is_searched_with_signs_of_cinema() -> None:
    dune = a_movie(
        title="Dune",
        original_title="Dune",
        original_language="en",
        directors=(Person(id=1, name="Denis Villeneuve"),),
        cast=(),
    )
    assert search_query(dune) == (
        '("Dune" OR #Dune OR #DuneMovie) (movie OR film OR cinema OR trailer OR #DuneMovie OR '
        'watched OR watching OR "Denis Villeneuve") -is:retweet'
    )


def test_a_title_of_signs_is_searched_by_its_original_one() -> None:
    assert '("రౌద్రం రణం రుధిరం") (movie' in search_query(a_movie(title="!!!"))


def test_a_telling_title_is_searched_alone_and_in_its_own_language() -> None:
    film = a_movie(title="Pushpa: The Rise", original_title="పుష్ప - ది రైజ్")
    assert search_query(film) == (
        '("Pushpa: The Rise" OR "పుష్ప - ది రైజ్" OR #PushpaTheRise) -is:retweet'
    )


def test_who_writes_in_the_language_of_the_film_needs_no_english_word() -> None:
    assert " OR lang:te OR " in search_query(a_movie(original_language="te"))
    assert "lang:" not in search_query(a_movie(original_language="xx"))


@pytest.mark.parametrize("title", ['Say "Yes" OR (no)', "lang:en -is:nullcast", "a\\b", "(OR)"])
def test_operators_in_a_title_are_words(title: str) -> None:
    matches = parse(search_query(a_movie(title=title, original_title=title)))
    assert callable(matches)
    inside = search_query(a_movie(title=title, original_title=title)).split('"')[1]
    assert '"' not in inside
    assert "\\" not in inside


@given(
    title=st.text(max_size=400),
    original=st.text(max_size=400),
    names=st.lists(st.text(max_size=150), max_size=5),
)
def test_a_query_is_never_longer_than_x_takes(title: str, original: str, names: list[str]) -> None:
    people = tuple(Person(id=at, name=name) for at, name in enumerate(names))
    movie = a_movie(title=title, original_title=original, directors=people[:2], cast=people[2:])
    query = search_query(movie)
    assert len(query) <= MAX_QUERY_LENGTH
    if query and needs_context(title):
        assert "movie" in query


def test_what_is_sent_is_in_the_specification(shared_data: Path) -> None:
    x = Answers(an_answer())
    ask(x, cursor="4")
    specification = json.loads((shared_data / "specs/x-api-v2.166.openapi.json").read_text())
    parts = specification["components"]
    known = {}
    for parameter in specification["paths"]["/2/tweets/search/recent"]["get"]["parameters"]:
        if "$ref" in parameter:
            parameter = parts["parameters"][parameter["$ref"].rsplit("/", 1)[1]]
        known[parameter["name"]] = parameter["schema"]
    for name, value in x.requests[0].url.params.items():
        schema = known[name]
        if schema.get("type") == "array":
            assert set(value.split(",")) <= set(schema["items"]["enum"]), name
        if schema.get("type") == "integer":
            assert schema["minimum"] <= int(value) <= schema["maximum"], name


@pytest.mark.parametrize("client", ["client", "asyncclient"])
def test_a_recorded_answer_without_the_fields_asked_for_is_set_aside_not_fatal(
    shared_data: Path, client: str
) -> None:
    file = shared_data / f"recorded/x/tweepy__test_{client}_search_recent_tweets__0.json"
    body = json.loads(file.read_text())["response"]["body"]
    collected = ask(Answers(body))
    assert len(collected.unreadable) == 10
    assert {found.reason for found in collected.unreadable} == {"the field created_at is missing"}
    for post in body["data"]:
        post["created_at"] = "2022-10-07T22:42:12.000Z"
    film = a_movie(title="A film called tweepy here")
    collected = ask(Answers(body), movie=film)
    assert [review.review_id for review in collected.reviews] == [
        post["id"] for post in body["data"]
    ]
    assert collected.cursor == body["meta"]["newest_id"]


def test_the_stand_in_finds_posts_and_the_second_search_only_newer_ones(
    live_settings: Settings, live_secrets: Secrets, upstreams: Upstreams
) -> None:
    with httpx.Client() as client:
        first = collect(SourceQuery(a_movie(), 20), live_settings, live_secrets, client=client)
        again = SourceQuery(a_movie(), 20, first.cursor)
        second = collect(again, live_settings, live_secrets, client=client)
        stale = SourceQuery(a_movie(), 20, "1000")
        third = collect(stale, live_settings, live_secrets, client=client)
    assert first.fetched == 20
    assert len(first.reviews) >= 15
    assert second.reviews == ()
    assert third.cursor == first.cursor
    assert [call["status"] for call in upstreams.calls("x")] == [200, 200, 400, 200]
