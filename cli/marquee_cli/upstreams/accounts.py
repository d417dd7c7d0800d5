"""Accounts on X with timelines of our own writing."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from marquee_cli.upstreams.catalog import DATA, stable_number


@dataclass(frozen=True)
class Written:
    """A tweet as its author typed it; `kind` is what it is about, by our own judgment."""

    text: str
    kind: str = "other"
    language: str = "en"
    reply_to: str | None = None
    quote: str | None = None
    retweet: str | None = None


@dataclass(frozen=True)
class Account:
    """One account; `username` in lower case."""

    username: str
    name: str
    description: str
    tweets: tuple[Written, ...]

    @property
    def id(self) -> str:
        return user_id(self.username)

    def as_user(self) -> dict[str, Any]:
        """What X tells of it, all fields."""
        return {
            "id": self.id,
            "name": self.name,
            "username": self.username,
            "created_at": "2019-04-02T08:30:00.000Z",
            "description": self.description,
            "protected": False,
            "verified": False,
            "public_metrics": {
                "followers_count": 400 + stable_number(self.username) % 4000,
                "following_count": 120,
                "tweet_count": len(self.tweets),
                "listed_count": 3,
            },
        }


def user_id(username: str) -> str:
    """The id of a user: of every name, also of those that only occur in texts."""
    return str(2_000_000_000 + stable_number(f"x account {username.casefold()}", 30))


@cache
def accounts() -> Mapping[str, Account]:
    """All accounts by username; they are read once."""
    return MappingProxyType(
        {file.stem: _account(file.stem, file.read_text("utf-8")) for file in _files()}
    )


def _files() -> list[Any]:
    return sorted((DATA / "accounts").glob("*.toml"))


def _account(username: str, file: str) -> Account:
    content = tomllib.loads(file)
    tweets = tuple(
        Written(
            text=tweet["text"],
            kind=tweet["type"],
            language=tweet.get("lang", "en"),
            reply_to=tweet.get("reply_to"),
            quote=tweet.get("quote"),
            retweet=tweet.get("retweet"),
        )
        for tweet in content["tweets"]
    )
    return Account(username, content["name"], content["description"], tweets)
