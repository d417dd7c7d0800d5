"""The query language keeps the posts that X would."""

import pytest

from marquee_cli.upstreams.query import Post, QueryError, parse

POST = Post.of("The Beach, a *quiet* film! café https://t.co/x #Sand #మంచి", "en", "Mia_Reels")


@pytest.mark.parametrize(
    "query",
    [
        "beach",
        "BEACH quiet",
        '"quiet film"',
        '"the beach"',
        "cafe",
        "#sand",
        "sand",
        "#మంచి",
        "mountain OR beach",
        "(mountain OR beach) film",
        "beach -mountain",
        "beach -(mountain hill)",
        "beach -is:retweet -is:reply",
        "beach lang:en has:links has:hashtags",
        "from:mia_reels",
        "mountain hill OR beach film",
        '"beach"OR mountain',
    ],
)
def test_a_query_keeps_the_post(query: str) -> None:
    assert parse(query)(POST)


@pytest.mark.parametrize(
    "query",
    [
        "bea",
        "beach mountain",
        '"film quiet"',
        "#beach",
        "beach lang:es",
        "beach is:retweet",
        "beach -film",
        "-(beach OR mountain) film",
        "beach (mountain OR hill)",
        "from:someone",
        "beach has:media",
        "beach mountain OR hill",
    ],
)
def test_a_query_leaves_the_post_out(query: str) -> None:
    assert not parse(query)(POST)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  ",
        "()",
        "(beach",
        "beach)",
        "OR beach",
        "beach OR",
        '"',
        "-is:retweet",
        "is:nonsense beach",
        "!!",
    ],
)
def test_a_query_outside_the_language_is_refused(query: str) -> None:
    with pytest.raises(QueryError):
        parse(query)
