"""The settings of policies: their faults by name, and what they decide."""

import pytest

from marquee.errors import Misconfigured
from marquee.tweets.models import TweetType
from marquee.tweets.policy import (
    Action,
    Template,
    decide,
    frame_of,
    load_policies,
    original_text,
    policies,
)
from tests.unit.tweets.stage import OWN, a_tweet, some_policies

_LINK = "New on the site https://harbor.example.com/news and more to come"


def test_the_file_that_ships_is_valid_and_never_posts_what_is_unsafe() -> None:
    shipped = policies()
    assert set(shipped.types) == set(TweetType)
    assert shipped.types[TweetType.UNSAFE].action is Action.SKIP
    assert all(policy.foreign is not Action.POST for policy in shipped.types.values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = [", "policies.toml: Invalid value"),
        ('[types.review]\naction = "pst"\nurl = "keep"', r"[types.review] action: Input should be"),
        ('[types.review]\nurl = "keep"', "[types.review] action: Field required"),
        ('[types.revew]\naction = "hold"\nurl = "keep"', "[types] revew: Input should be"),
        ('[types.review]\naction="hold"\nurl="keep"\nulr="ask"', "[types.review] ulr: Extra"),
        ('[types.review]\naction="hold"\nurl="keep"', "types: there is no table [types.recomm"),
        ("[download]\nreplies = 'maybe'", "[download] replies: Input should be a valid boolean"),
        ("types = 3", "types must be a table"),
        ("[types]\nreview = 3", "[types] review: Input should be"),
        (
            '[types.review]\naction="hold"\nurl="keep"\n[types.review.template]\nhashtags=["x"]',
            "[types.review.template] hashtags: 'x' is no hashtag",
        ),
        (
            '[types.news]\naction="hold"\nurl="keep"\n[types.news.template]\nprefix="see a.com"',
            "[types.news.template] prefix: must hold no link",
        ),
    ],
)
def test_a_fault_is_named_by_table_and_key(text: str, complaint: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        load_policies(text)
    assert complaint in str(raised.value)


def test_a_file_that_would_post_unsafe_tweets_is_refused() -> None:
    lines = ["[defaults]", 'action = "hold"', 'url = "keep"']
    lines += [f"[types.{kind}]" for kind in TweetType]
    with pytest.raises(Misconfigured, match=r"types\.unsafe: action and foreign must be skip"):
        load_policies("\n".join(lines))


@pytest.mark.parametrize(
    "fields",
    [
        {"credit": "by the author"},
        {"credit": "{author} {author}"},
        {"suffix": "ask @someone"},
        {"prefix": "$TSLA"},
        {"suffix": "a\u200bb"},
        {"suffix": "x" * 101},
        {"hashtags": ("#two words",)},
    ],
)
def test_a_template_that_would_break_the_output_policy_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Template.model_validate(fields)


def test_a_template_goes_around_the_text_and_credits_the_author_of_another_account() -> None:
    template = Template(prefix="News:", suffix="More soon", hashtags=("#Film",))
    assert template.frame(None).around("It is out") == "News: It is out More soon #Film"
    assert template.frame("nasa").around("It is out").endswith("More soon via @nasa #Film")
    assert Template(credit="").frame("nasa").around("It is out") == "It is out"


@pytest.mark.parametrize(
    ("fields", "overrides", "action", "reason"),
    [
        ({}, {}, Action.POST, ""),
        ({}, {"action": "hold"}, Action.HOLD, "the policy for review is to ask"),
        ({}, {"action": "skip"}, Action.SKIP, "the policy for review is to skip"),
        ({"account": "nasa"}, {"foreign": "hold"}, Action.HOLD, "@nasa is not our own account"),
        ({"account": "nasa"}, {"foreign": "skip"}, Action.SKIP, "of other accounts is skipped"),
        ({"account": "nasa"}, {}, Action.POST, ""),
        ({"text": _LINK}, {"url": "ask"}, Action.HOLD, "$0.200 instead of $0.015"),
        ({"text": _LINK}, {"url": "strip"}, Action.POST, ""),
        ({"text": "https://a.example.com"}, {"url": "strip"}, Action.SKIP, "nothing of its text"),
        ({"is_retweet": True}, {}, Action.SKIP, "retweet"),
        ({"is_reply": True}, {}, Action.SKIP, "X takes replies only"),
        ({"is_reply": True}, {"replies": "standalone"}, Action.POST, ""),
        ({"is_quote": True}, {}, Action.POST, ""),
        ({"is_quote": True}, {"quotes": "skip"}, Action.SKIP, "X takes no quote posts"),
        ({"text": "Up: $AAA and $BBB"}, {}, Action.SKIP, "one cashtag"),
        (
            {"type": TweetType.UNSAFE, "unsafe_reason": "spam"},
            {"action": "post"},
            Action.SKIP,
            "unsafe: spam",
        ),
    ],
)
def test_the_policy_of_its_type_decides(
    fields: dict[str, object], overrides: dict[str, str], action: Action, reason: str
) -> None:
    tweet = a_tweet(**{"type": TweetType.REVIEW, **fields})
    decision = decide(tweet, some_policies(**overrides), own_account=OWN)
    assert decision.action is action
    assert reason in decision.reason
    assert decision.reason or action is Action.POST


def test_a_reply_and_a_quote_become_posts_of_their_own() -> None:
    rules = some_policies(replies="standalone")
    reply = a_tweet(is_reply=True, text="@one @two_2 I loved it too, @three was right")
    assert original_text(reply, rules) == "I loved it too, @three was right"
    quoted = "So true! https://x.com/nasa/status/12345 See https://a.example.com"
    assert original_text(a_tweet(is_quote=True, text=quoted), rules) == (
        "So true! See https://a.example.com"
    )


def test_links_are_stripped_and_what_hides_is_gone() -> None:
    rules = some_policies(url="strip")
    text = "See\u200b it at https://a.example.com/x?y=1 on Friday\u202e"
    assert original_text(a_tweet(text=text), rules) == "See it at on Friday"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("New trailer (LINK) is out", "New trailer is out"),
        ("New trailer ( LINK ) is out", "New trailer is out"),
        ("A trailer ([LINK]), and a poster", "A trailer, and a poster"),
        ("Worth your time \u201cLINK\u201d", "Worth your time"),
        ('He said "hi" LINK "bye"', 'He said "hi" "bye"'),
        ('The "LINK" one', "The one"),
        ("Our verdict LINK, in short: go", "Our verdict, in short: go"),
        ("Our verdict LINK.", "Our verdict."),
        ("Such a film LINK :)", "Such a film :)"),
        ("My review \u2192 LINK", "My review"),
        ("My review: LINK #Dune", "My review #Dune"),
        ("8/10 (my review: LINK)", "8/10 (my review)"),
        ("My review \U0001f447\U0001f3fd\nLINK\nEnjoy", "My review\nEnjoy"),
        ("Two trailers: LINK LINK", "Two trailers"),
        ("Great \u2764\ufe0f LINK", "Great \u2764\ufe0f"),
        ("LINK", ""),
    ],
)
def test_where_a_link_is_stripped_no_trace_of_it_is_left(text: str, without: str) -> None:
    tweet = a_tweet(text=text.replace("LINK", "https://a.example.com/x?y=1"))
    assert original_text(tweet, some_policies(url="strip")) == without
    assert original_text(tweet, some_policies(url="keep")) == tweet.text


def test_what_only_looks_like_a_trace_of_a_link_stays() -> None:
    text = "To be continued: ( ) , or so -"
    assert original_text(a_tweet(text=text), some_policies(url="strip")) == text


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Read more: LINK", Action.HOLD),
        ("Full review at LINK.", Action.HOLD),
        ("See LINK, it is great", Action.HOLD),
        ("The whole list is here \U0001f447\nLINK", Action.HOLD),
        ("Once more. LINK", Action.POST),
        ("My review of Dune: LINK", Action.POST),
        ("See it on Friday", Action.POST),
    ],
)
def test_a_text_whose_words_ask_for_the_stripped_link_waits_for_a_person(
    text: str, action: Action
) -> None:
    tweet = a_tweet(text=text.replace("LINK", "https://a.example.com/x"), type=TweetType.REVIEW)
    decision = decide(tweet, some_policies(url="strip"), own_account=OWN)
    assert decision.action is action
    assert decide(tweet, some_policies(url="keep"), own_account=OWN).action is Action.POST


def test_credit_is_for_other_accounts_only() -> None:
    rules = some_policies()
    assert frame_of(a_tweet(), rules, own_account=OWN).after == ""
    assert frame_of(a_tweet(account="nasa"), rules, own_account=OWN).after == " via @nasa"


def test_a_template_adds_nothing_that_the_text_has_so_that_our_own_post_stays_as_it_is() -> None:
    template = Template(prefix="News:", suffix="More soon", hashtags=("#Film", "#Night"))
    once = template.frame(None).around("It is out #night")
    assert template.frame(None, "It is out #night").around("It is out #night") == (
        "News: It is out #night More soon #Film"
    )
    assert template.frame(None, once).around(once) == once
    review = a_tweet(type=TweetType.REVIEW, text="9/10, go. #filmreview")
    assert frame_of(review, policies(), own_account=OWN).after == ""
