"""X's counting in the stand-in and Marquee's own agree, though written apart."""

import pytest

from marquee.tweets import text as ours
from marquee_cli.upstreams import weighing
from marquee_cli.upstreams.accounts import accounts

SAID = [
    "plain words",
    "Naatu Naatu 🔥🔥👨‍👩‍👧‍👦 🇮🇳 👍🏽 1️⃣ ❤️ ☺",
    "सिनेमा हॉल में आग",
    "బాహుబలి చూశాను",
    "映画館で見た 한국 영화",
    "see https://a.example.com/x?y=1&z=2, then marquee.com/now.",
    "no link: https://a.example and http://b.test/c",
    "mail me@a.com, version 1.2.3, end.Start of it",
    "cafe\u0301 “quoted” \u2013 dashed… done",
]


@pytest.mark.parametrize("said", SAID)
def test_lengths_agree(said: str) -> None:
    assert weighing.weighted_length(said) == ours.weighted_length(said)
    assert [link.address for link in weighing.links(said)] == [
        span.found for span in ours.url_spans(said)
    ]


def test_lengths_of_all_written_tweets_agree() -> None:
    for account in accounts().values():
        for tweet in account.tweets:
            assert weighing.weighted_length(tweet.text) == ours.weighted_length(tweet.text)
