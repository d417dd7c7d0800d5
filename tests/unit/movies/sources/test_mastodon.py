"""Mastodon: hashtags, paging, HTML to text, answers by hand and from the stand-in."""

from typing import Any

import httpx
import pytest

from marquee.errors import UpstreamRefused, UpstreamTimeout, UpstreamUnavailable
from marquee.movies.sources import Collected, SourceQuery
from marquee.movies.sources.mastodon import MAX_PAGES, PAGE_SIZE, collect, plain_text
from marquee.settings import Secrets, Settings
from tests.support.builders import a_movie
from tests.support.sources import Answers, some_secrets, some_settings
from tests.support.upstreams import Upstreams

TELLING = a_movie(title="Everything Everywhere All at Once")


def a_status(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{number}",
        "created_at": "2026-03-14T18:00:00.000Z",
        "visibility": "public",
        "language": "en",
        "uri": f"https://m.test/users/asha/statuses/{number}",
        "url": f"https://m.test/@asha/{number}",
        "content": f"<p>RRR is film number {number} of my year</p>",
        "reblog": None,
        "account": {"id": "1", "username": "asha", "acct": "asha@m.test"},
        **fields,
    }


def a_page(highest: int, size: int = PAGE_SIZE) -> list[dict[str, Any]]:
    return [a_status(number) for number in range(highest, highest - size, -1)]


def ask(mastodon: Answers, **fields: Any) -> Collected:
    query = SourceQuery(**{"movie": TELLING, "max_reviews": 10, **fields})
    return collect(query, some_settings(), some_secrets(), client=mastodon.client)


def test_a_status_is_read_with_its_author_link_and_language() -> None:
    (review,) = ask(Answers([a_status(5)])).reviews
    assert review.text == "RRR is film number 5 of my year"
    assert (review.review_id, review.author, review.language) == ("5", "asha@m.test", "en")
    assert review.url == "https://m.test/@asha/5"


def test_a_status_without_a_page_is_linked_by_its_uri() -> None:
    (review,) = ask(Answers([a_status(5, url=None, language=None)])).reviews
    assert review.url == "https://m.test/users/asha/statuses/5"
    assert review.language is None


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>one</p><p>two<br />three<br>four</p>", "one\n\ntwo\nthree\nfour"),
        ("<p>a &lt;b&gt; &amp; &#39;c&#39;</p>", "a <b> & 'c'"),
        (
            '<p><span class="h-card"><a href="https://m.test/@b" class="u-url mention">'
            '@<span>b</span></a></span> saw <a href="https://m.test/tags/rrr" rel="tag">'
            "#<span>RRR</span></a></p>",
            "@b saw #RRR",
        ),
        (
            '<a href="https://example.org/long/page"><span class="invisible">https://</span>'
            '<span class="ellipsis">example.org/long</span><span class="invisible">/page'
            "</span></a>",
            "https://example.org/long/page",
        ),
        ("plain < text", "plain < text"),
        ("", ""),
    ],
)
def test_html_becomes_text(content: str, text: str) -> None:
    assert plain_text(content) == text


def test_pages_are_read_until_there_is_enough() -> None:
    mastodon = Answers(a_page(200), a_page(160))
    collected = ask(mastodon, max_reviews=60)
    assert len(collected.reviews) == 60
    first, second = mastodon.requests
    assert "max_id" not in first.url.params
    assert second.url.params["max_id"] == "161"
    assert first.url.path == "/api/v1/timelines/tag/EverythingEverywhereAllAtOnce"
    assert first.url.params["limit"] == "40"


def test_a_short_page_is_the_last() -> None:
    assert len(ask(Answers(a_page(20, size=7)), max_reviews=60).reviews) == 7


def test_no_more_pages_are_read_than_there_is_time_for() -> None:
    crowded = [[a_status(n, visibility="unlisted") for n in range(40)] for _ in range(MAX_PAGES)]
    mastodon = Answers(*crowded)
    assert ask(mastodon, max_reviews=100).reviews == ()
    assert len(mastodon.requests) == MAX_PAGES


def test_a_common_word_has_a_second_hashtag_that_adds_what_the_first_lacks() -> None:
    mastodon = Answers([a_status(5)], [a_status(5), a_status(3)])
    collected = ask(mastodon, movie=a_movie())
    assert [request.url.path.rsplit("/", 1)[1] for request in mastodon.requests] == [
        "RRR",
        "RRRMovie",
    ]
    assert [review.review_id for review in collected.reviews] == ["5", "3"]


def test_the_hashtag_of_another_script_is_escaped() -> None:
    mastodon = Answers([])
    ask(mastodon, movie=a_movie(title="రౌద్రం రణం రుధిరం"))
    assert mastodon.requests[0].url.path.endswith("/రౌద్రంరణంరుధిరం")


def test_boosts_and_what_is_not_for_everyone_are_left_out() -> None:
    collected = ask(
        Answers([a_status(9, reblog=a_status(8)), a_status(7, visibility="private"), a_status(5)])
    )
    assert [review.review_id for review in collected.reviews] == ["5"]
    assert collected.fetched == 1


def test_a_later_page_that_fails_leaves_what_was_read() -> None:
    collected = ask(Answers(a_page(200), httpx.ReadTimeout("slow")), max_reviews=60)
    assert len(collected.reviews) == 40
    assert "no answer within" in collected.problem


def test_a_first_page_that_fails_is_an_error() -> None:
    with pytest.raises(UpstreamTimeout):
        ask(Answers(httpx.ReadTimeout("slow")))
    body = {"error": "This method requires an authenticated user"}
    with pytest.raises(UpstreamRefused, match="authenticated user"):
        ask(Answers(httpx.Response(422, json=body)))


def test_an_answer_that_is_no_list_is_an_outage() -> None:
    with pytest.raises(UpstreamUnavailable):
        ask(Answers({"error": "sorry"}))


def test_damaged_statuses_are_set_aside() -> None:
    nameless = a_status(3)
    del nameless["id"]
    collected = ask(
        Answers(
            [
                a_status(9, content=""),
                a_status(8, created_at=None),
                a_status(7, content="<p>half \udce9\ud800</p>"),
                a_status(6, content="<![bad markup"),
                nameless,
                "no status",
                a_status(1),
            ]
        )
    )
    assert [review.review_id for review in collected.reviews] == ["1"]
    reasons = [found.reason for found in collected.unreadable]
    assert [reason.split(":")[0] for reason in reasons] == [
        "text",
        "not a date",
        "text",
        "unknown status keyword 'bad ' in marked section",
        "the field id is missing",
        "the record is no object",
    ]


def test_a_title_without_a_letter_is_not_asked_for() -> None:
    mastodon = Answers()
    assert "no letter" in ask(mastodon, movie=a_movie(title="!!!")).problem
    assert mastodon.requests == []


def test_the_stand_in_gives_posts_of_the_hashtag(
    live_settings: Settings, live_secrets: Secrets, upstreams: Upstreams
) -> None:
    upstreams.texts(579974, "mastodon", 90)
    with httpx.Client() as client:
        query = SourceQuery(a_movie(), 60)
        collected = collect(query, live_settings, live_secrets, client=client)
    assert len(collected.reviews) == 60
    assert len({review.review_id for review in collected.reviews}) == 60
    assert all("<" not in review.text for review in collected.reviews)
    assert 2 <= len(upstreams.calls("mastodon")) <= MAX_PAGES
