"""Faults are real on the wire, hit the calls they are meant for, and are logged."""

import time
from typing import Any

import httpx
import pytest

from marquee_cli.upstreams.credentials import DEMONSTRATION
from tests.support.upstreams import Upstreams, tmdb_headers

SEARCH = "/tweets/search/recent"
RRR = {"query": "RRR"}


def test_a_reset_gives_no_answer_and_has_no_effect(upstreams: Upstreams, x: httpx.Client) -> None:
    upstreams.fault("x", "reset")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        x.get(SEARCH, params=RRR)
    assert x.get(SEARCH, params=RRR).headers["x-rate-limit-remaining"] == "449"
    assert [call["status"] for call in upstreams.calls()] == [None, 200]


def test_a_cut_has_its_effect_and_ends_in_the_middle(upstreams: Upstreams, x: httpx.Client) -> None:
    upstreams.fault("x", "cut")
    with x.stream("GET", SEARCH, params=RRR) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            answer.read()
    assert x.get(SEARCH, params=RRR).headers["x-rate-limit-remaining"] == "448"
    assert [call["fault"] for call in upstreams.calls()] == ["cut", None]


def test_a_malformed_answer_is_a_success_that_is_no_json(
    upstreams: Upstreams, x: httpx.Client
) -> None:
    upstreams.fault("x", "malformed")
    answer = x.get(SEARCH, params=RRR)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="line 1"):
        answer.json()
    assert x.get(SEARCH, params=RRR).json()["data"]


def test_a_delay_answers_late_and_in_full(upstreams: Upstreams, tmdb: httpx.Client) -> None:
    upstreams.fault("tmdb", "delay", seconds=0.3)
    started = time.monotonic()
    assert tmdb.get("/configuration").status_code == 200
    assert time.monotonic() - started >= 0.3
    upstreams.fault("tmdb", "delay", seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        tmdb.get("/configuration", timeout=0.1)


@pytest.mark.parametrize(
    ("upstream", "status", "title"),
    [("x", 402, "Payment Required"), ("x", 429, "Too Many Requests"), ("x", 401, "Unauthorized")],
)
def test_a_status_has_the_recorded_body_unless_another_is_given(
    upstreams: Upstreams, x: httpx.Client, upstream: str, status: int, title: str
) -> None:
    upstreams.fault(upstream, "status", status=status)
    upstreams.fault(upstream, "status", status=status, body={"a": 1}, headers={"retry-after": "9"})
    recorded, own = x.get(SEARCH, params=RRR), x.get(SEARCH, params=RRR)
    assert (recorded.status_code, recorded.json()["title"]) == (status, title)
    assert ("x-rate-limit-reset" in recorded.headers) == (status == 429)
    assert (own.status_code, own.json(), own.headers["retry-after"]) == (status, {"a": 1}, "9")
    assert x.get(SEARCH, params=RRR).headers["x-rate-limit-remaining"] == "449"


def test_a_gateway_error_is_a_page_and_no_json(upstreams: Upstreams, tmdb: httpx.Client) -> None:
    upstreams.fault("tmdb", "status", status=503)
    answer = tmdb.get("/configuration")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")


def test_count_hits_the_next_calls_and_every_each_nth(
    upstreams: Upstreams, tmdb: httpx.Client
) -> None:
    def statuses(calls: int) -> list[int]:
        return [tmdb.get("/configuration").status_code for _ in range(calls)]

    upstreams.fault("tmdb", "status", status=500, count=2)
    assert statuses(3) == [500, 500, 200]
    upstreams.fault("tmdb", "status", status=500, every=3)
    assert statuses(6) == [200, 200, 500, 200, 200, 500]


def test_a_route_spares_other_routes_and_upstreams(
    upstreams: Upstreams, tmdb: httpx.Client, x: httpx.Client
) -> None:
    upstreams.fault("tmdb", "status", status=500, route="/3/movie/*", count=9)
    assert tmdb.get("/configuration").status_code == 200
    assert x.get(SEARCH, params=RRR).status_code == 200
    assert tmdb.get("/movie/579974").status_code == 500
    assert tmdb.get("/movie/579974/reviews").status_code == 500


def test_faults_can_be_listed_and_cleared(
    upstreams: Upstreams, tmdb: httpx.Client, nobody: httpx.Client
) -> None:
    upstreams.fault("tmdb", "status", status=500, count=9)
    assert tmdb.get("/configuration").status_code == 500
    faults = nobody.get("/_control/faults").json()
    assert [(fault["kind"], fault["applied"]) for fault in faults] == [("status", 1)]
    assert nobody.delete("/_control/faults").status_code == 204
    assert tmdb.get("/configuration").status_code == 200


def test_the_log_tells_every_call_and_no_secret(
    upstreams: Upstreams, tmdb: httpx.Client, nobody: httpx.Client
) -> None:
    tmdb.get("/search/movie", params={"query": "dune", "api_key": DEMONSTRATION.tmdb_token})
    nobody.get("/tmdb/3/configuration")
    calls = upstreams.calls("tmdb")
    assert [(call["path"], call["query"], call["status"]) for call in calls] == [
        ("/3/search/movie", {"query": "dune"}, 200),
        ("/3/configuration", {}, 401),
    ]
    assert calls[0]["time"] <= calls[1]["time"]
    assert DEMONSTRATION.tmdb_token not in str(calls)
    assert upstreams.calls("x") == []
    nobody.delete("/_control/calls")
    assert upstreams.calls() == []


def test_more_texts_can_be_asked_for_and_are_all_different(
    upstreams: Upstreams, tmdb: httpx.Client, x: httpx.Client, mastodon: httpx.Client
) -> None:
    film, title = 27205, "Inception"
    for source in ("tmdb", "x", "mastodon"):
        upstreams.texts(film, source, 100)
    reviews = tmdb.get(f"/movie/{film}/reviews").json()
    assert reviews["total_results"] == 100
    query = {"query": f'"{title}" OR #{title}', "max_results": "100"}
    posts = x.get(SEARCH, params=query).json()["data"]
    assert len({post["text"] for post in posts}) == 100
    assert len(mastodon.get(f"/timelines/tag/{title}", params={"limit": 40}).json()) == 40
    upstreams.reset()
    assert len(x.get(SEARCH, params=query).json()["data"]) < 30


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("faults", b"{", "body"),
        ("faults", b"[]", "body"),
        ("faults", b'{"upstream": "imdb", "kind": "reset"}', "upstream"),
        ("faults", b'{"upstream": "x", "kind": "explode"}', "kind"),
        ("faults", b'{"upstream": "x", "kind": "status"}', "status"),
        ("faults", b'{"upstream": "x", "kind": "status", "status": 99}', "status"),
        ("faults", b'{"upstream": "x", "kind": "delay", "seconds": "1"}', "seconds"),
        ("faults", b'{"upstream": "x", "kind": "reset", "count": 0}', "count"),
        ("faults", b'{"upstream": "x", "kind": "reset", "every": true}', "every"),
        ("faults", b'{"upstream": "x", "kind": "reset", "every": 2, "count": 2}', "every"),
        ("faults", b'{"upstream": "x", "kind": "reset", "route": 1}', "route"),
        ("faults", b'{"upstream": "x", "kind": "reset", "headers": {"a": 1}}', "headers"),
        ("faults", b'{"upstream": "x", "kind": "reset", "applied": 3}', "applied"),
        ("limits", b'{"endpoint": "x", "calls": 1, "seconds": 1}', "endpoint"),
        ("limits", b'{"endpoint": "tmdb", "calls": 1.5, "seconds": 1}', "calls"),
        ("limits", b'{"endpoint": "tmdb", "calls": 1, "seconds": 0}', "seconds"),
        ("texts", b'{"tmdb_id": 1, "source": "x", "count": 1}', "tmdb_id"),
        ("texts", b'{"tmdb_id": 27205, "source": "imdb", "count": 1}', "source"),
        ("texts", b'{"tmdb_id": 27205, "source": "x", "count": 0}', "count"),
    ],
)
def test_a_control_request_that_cannot_be_followed_names_the_field(
    nobody: httpx.Client, path: str, body: bytes, named: str
) -> None:
    answer = nobody.post(f"/_control/{path}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{named}:")
    assert nobody.get("/_control/faults").json() == []


def test_unknown_paths_are_refused_in_the_upstreams_words(nobody: httpx.Client) -> None:
    def error(path: str) -> Any:
        answer = nobody.get(path, headers=tmdb_headers())
        assert answer.status_code == 404
        return answer.json()

    assert error("/tmdb/3/tv/1") == {
        "success": False,
        "status_code": 34,
        "status_message": "The resource you requested could not be found.",
    }
    assert error("/x/2/lists/1")["title"] == "Not Found"
    assert error("/nowhere") == {"error": "GET /nowhere: 404"}
