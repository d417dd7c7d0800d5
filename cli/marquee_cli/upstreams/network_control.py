"""What tests set and read at X and the language model, beside faults: `/_control/x`, `posts` …"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from marquee_cli.upstreams.accounts import Written, accounts
from marquee_cli.upstreams.control import BadControl, body_of, number, one_of
from marquee_cli.upstreams.openai import MODES, SAYS, OpenAi
from marquee_cli.upstreams.user_context import UserContext
from marquee_cli.upstreams.x_gate import CREDITS, Gate
from marquee_cli.upstreams.x_posts import XPosts, as_json

LONGEST_LAG_SECONDS = 86_400
MOST_AHEAD_SECONDS = 3600
MOST_TWEETS = 1_000


class NetworkControl:
    """The state of X and of the model, as tests see and change it."""

    def __init__(self, posts: XPosts, gate: Gate, context: UserContext, openai: OpenAi) -> None:
        self._posts = posts
        self._gate = gate
        self._context = context
        self._openai = openai

    def routes(self) -> list[Route]:
        return [
            Route("/posts", self._list_posts, methods=["GET"]),
            Route("/tweets", self._add_tweet, methods=["POST"]),
            Route("/x", self._show_x, methods=["GET"]),
            Route("/x", self._set_x, methods=["POST"]),
            Route("/tokens/{account}", self._tokens, methods=["GET"]),
            Route("/openai", self._show_openai, methods=["GET"]),
            Route("/openai", self._set_openai, methods=["POST"]),
        ]

    def reset(self) -> None:
        """As after the start: no posts, first tokens, a polite model."""
        self._posts.reset()
        self._gate.reset()
        self._context.reset()
        self._openai.reset()

    async def _list_posts(self, request: Request) -> Response:
        """The posts made through the API, in order; of one account with `?account=`."""
        return JSONResponse(self._posts.posts(request.query_params.get("account")))

    async def _add_tweet(self, request: Request) -> Response:
        """Put a tweet on a timeline that nobody posted through the API, or ``count`` numbered ones;
        the answer tells of the last."""
        body = await body_of(request)
        texts = {"text", "lang", "reply_to", "quote", "retweet"}
        known = {"account", "count", *texts}
        if unknown := sorted(set(body) - known):
            raise BadControl(f"{unknown[0]}: not one of {', '.join(sorted(known))}")
        account = one_of(body, "account", tuple(accounts()))
        for name in texts:
            if not isinstance(body.get(name, ""), str):
                raise BadControl(f"{name}: must be a string")
        if not body.get("text"):
            raise BadControl("text: must not be empty")
        count = body.get("count")
        if not (count is None or (type(count) is int and 1 <= count <= MOST_TWEETS)):
            raise BadControl(f"count: must be a number from 1 to {MOST_TWEETS}")
        for end in ("",) if count is None else (f" {turn}" for turn in range(count)):
            written = Written(
                body["text"] + end,
                language=body.get("lang", "en"),
                reply_to=body.get("reply_to"),
                quote=body.get("quote"),
                retweet=body.get("retweet"),
            )
            added = self._posts.add(account, written)
        return JSONResponse(as_json(added), 201)

    async def _show_x(self, request: Request) -> Response:
        return JSONResponse(self._x())

    async def _set_x(self, request: Request) -> Response:
        """Set the lag of timelines, X's clock against ours, the credits; end tokens."""
        body = await body_of(request)
        known = {"lag_seconds", "ahead_seconds", "credits", "expire", "revoke"}
        if unknown := sorted(set(body) - known):
            raise BadControl(f"{unknown[0]}: not one of {', '.join(sorted(known))}")
        if "lag_seconds" in body:
            seconds = number(body, "lag_seconds", float, 0, LONGEST_LAG_SECONDS)
            self._posts.lag = timedelta(seconds=seconds)
        if "ahead_seconds" in body:
            seconds = number(body, "ahead_seconds", float, -MOST_AHEAD_SECONDS, MOST_AHEAD_SECONDS)
            self._posts.ahead = timedelta(seconds=seconds)
        if "credits" in body:
            self._gate.credits = one_of(body, "credits", tuple(CREDITS))
        if "expire" in body:
            self._context.expire(one_of(body, "expire", tuple(accounts())))
        if "revoke" in body:
            self._context.revoke(one_of(body, "revoke", tuple(accounts())))
        return JSONResponse(self._x())

    async def _tokens(self, request: Request) -> Response:
        """What the user of an account holds now: for whoever stores it as a secret."""
        account = request.path_params["account"]
        if account not in accounts():
            raise BadControl(f"account: must be one of {', '.join(accounts())}")
        return JSONResponse(asdict(self._context.tokens(account)))

    async def _show_openai(self, request: Request) -> Response:
        return JSONResponse({"mode": self._openai.mode, "count": self._openai.left})

    async def _set_openai(self, request: Request) -> Response:
        """How the model answers, for the next `count` calls or until told otherwise.

        In the mode `say` it says the `text` that is given, or of each tweet whose text is in
        `answers` the answers there, one after the other.
        """
        body = await body_of(request)
        if unknown := sorted(set(body) - {"mode", "count", "text", "answers"}):
            raise BadControl(f"{unknown[0]}: not one of answers, count, mode, text")
        mode = one_of(body, "mode", MODES)
        words, answers = body.get("text", ""), body.get("answers")
        given = [name for name in ("text", "answers") if name in body]
        if not isinstance(words, str) or len(given) != (mode == SAYS):
            raise BadControl(f"text: must be a string, given with the mode {SAYS} only")
        if "answers" in body and not _are_answers(answers):
            raise BadControl("answers: must be an object of lists of strings")
        count = int(number(body, "count", int, 1, 10**6)) if "count" in body else None
        self._openai.set_mode(mode, count, words, answers)
        return await self._show_openai(request)

    def _x(self) -> dict[str, Any]:
        return {
            "lag_seconds": self._posts.lag.total_seconds(),
            "ahead_seconds": self._posts.ahead.total_seconds(),
            "credits": self._gate.credits,
        }


def _are_answers(given: Any) -> bool:
    """Whether each tweet has one answer or more."""
    return isinstance(given, dict) and all(
        isinstance(said, list) and said and all(isinstance(words, str) for words in said)
        for said in given.values()
    )
