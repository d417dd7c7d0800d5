"""The stand-in of OpenAI's Responses and Chat Completions under `/openai/v1`."""

import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import cycle, repeat
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee_cli.upstreams.answers import OPENAI_ERRORS, OPENAI_QUOTA_USED_UP, Json, error
from marquee_cli.upstreams.credentials import Credentials
from marquee_cli.upstreams.language import (
    Speaker,
    fill,
    nonsense,
    obedient,
    polished,
    task,
    too_long,
)
from marquee_cli.upstreams.windows import Grant, Windows

SPEAKERS: Mapping[str, Speaker] = {
    "polite": polished,
    "obey": obedient,
    "nonsense": nonsense,
    "too_long": too_long,
}
# The very words that a test gives, for any tweet or for each its own.
SAYS = "say"
# What a model does instead of answering.
FAILURES = ("refusal", "incomplete", "not_json", "insufficient_quota")
MODES = (*SPEAKERS, SAYS, *FAILURES)
REFUSAL = "I'm sorry, but I can't assist with that request."
CHARACTERS_PER_TOKEN = 4
# How OpenAI itself shows a key that it refuses.
HIDDEN_KEY = "sk-proj-****"


class OpenAi:
    """Answers every model name; what it says follows the mode."""

    def __init__(
        self, credentials: Credentials, windows: Windows, now: Callable[[], datetime]
    ) -> None:
        self._key = credentials.openai_api_key
        self._windows = windows
        self._now = now
        self.reset()

    def reset(self) -> None:
        """A polite model."""
        self.set_mode("polite", None)

    def set_mode(
        self,
        mode: str,
        count: int | None,
        words: str = "",
        answers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Speak so for the next `count` answers, then politely again; None: until told.

        `words` are what a model in the mode `say` says, or for the tweets that `answers` name one
        answer after the other, and of any other tweet what a polite one says.
        """
        self.mode = mode
        self.left = count
        self.words = words
        self.answers: dict[str, Iterator[str]] | None = None
        if answers is not None:
            self.answers = {text: cycle(given) for text, given in answers.items()}

    def routes(self) -> list[Route]:
        return [
            Route("/v1/responses", self._guarded(_input, self._response), methods=["POST"]),
            Route("/v1/chat/completions", self._guarded(_chat, self._completion), methods=["POST"]),
        ]

    def _guarded(self, read: "Reader", answer: "Answerer") -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            body = await request.body()
            header = request.headers.get("authorization", "")
            given = header.removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._key.encode()):
                return Json(_wrong_key(header), 401)
            grant = self._windows.take("openai")
            headers = openai_headers(grant)
            if not grant.allowed:
                wait = max(1, round(grant.reset - self._now().timestamp()))
                return error("openai", 429, {**headers, "retry-after": str(wait)})
            try:
                asked = json.loads(body)
                content, instructions, form = read(asked)
            except (ValueError, LookupError, TypeError, AttributeError) as problem:
                return Json(
                    _bad_request(f"Invalid request: {type(problem).__name__}"), 400, headers
                )
            if asked.get("stream") or not isinstance(asked.get("model"), str):
                return Json(_bad_request("Streams are not served, and a model is required"), 400)
            speak = self._speaker()
            mode = self._next_mode()
            if mode == "insufficient_quota":
                return Json(OPENAI_QUOTA_USED_UP, 429, headers)
            said = _said(content, instructions, form, speak)
            if mode == "not_json":
                said = f"Sure! Here is the tweet: {said[: len(said) // 2]}"
            number = sha256(body + str(grant.remaining).encode()).hexdigest()
            return Json(answer(asked, said, mode, number), 200, headers)

        return guarded

    def _speaker(self) -> Speaker:
        if self.mode == SAYS:
            words, answers = self.words, self.answers
            if answers is not None:
                return lambda text, instructions: next(answers.get(text, repeat(polished(text))))
            return lambda text, instructions: words
        return SPEAKERS.get(self.mode, polished)

    def _next_mode(self) -> str:
        mode = self.mode
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.reset()
        return mode

    def _response(
        self, asked: Mapping[str, Any], said: str, mode: str, number: str
    ) -> dict[str, Any]:
        cut = mode == "incomplete"
        part: dict[str, Any] = {
            "type": "output_text",
            "annotations": [],
            "logprobs": [],
            "text": said[: len(said) // 2] if cut else said,
        }
        if mode == "refusal":
            part = {"type": "refusal", "refusal": REFUSAL}
        status = "incomplete" if cut else "completed"
        message = {
            "id": f"msg_{number[:48]}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [part],
        }
        read, written = _tokens(json.dumps(asked)), _tokens(said)
        text = {"format": {"type": "text"}, "verbosity": "medium", **(asked.get("text") or {})}
        return {
            "id": f"resp_{number[:48]}",
            "object": "response",
            "created_at": int(self._now().timestamp()),
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "max_tool_calls": None,
            "metadata": {},
            "model": asked["model"],
            "output": [message],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": None,
            "service_tier": "default",
            "store": asked.get("store", True),
            "temperature": asked.get("temperature", 1.0),
            "text": text,
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": asked.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": {
                "input_tokens": read,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": written,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": read + written,
            },
            "user": None,
        }

    def _completion(
        self, asked: Mapping[str, Any], said: str, mode: str, number: str
    ) -> dict[str, Any]:
        cut, refused = mode == "incomplete", mode == "refusal"
        read, written = _tokens(json.dumps(asked)), _tokens(said)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused else said[: len(said) // 2] if cut else said,
            "refusal": REFUSAL if refused else None,
            "annotations": [],
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": "length" if cut else "stop",
        }
        return {
            "id": f"chatcmpl-{number[:29]}",
            "object": "chat.completion",
            "created": int(self._now().timestamp()),
            "model": asked["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": None,
        }


def openai_headers(grant: Grant) -> dict[str, str]:
    """What OpenAI tells of its window of requests."""
    return {
        "x-ratelimit-limit-requests": str(grant.limit),
        "x-ratelimit-remaining-requests": str(grant.remaining),
        "openai-version": "2020-10-01",
    }


type Asked = tuple[str, str, Mapping[str, Any]]
"""What the user said, the instructions, and the form (`json_schema` or text) of the answer."""

type Reader = Callable[[Mapping[str, Any]], Asked]
type Answerer = Callable[[Mapping[str, Any], str, str, str], dict[str, Any]]


def _input(asked: Mapping[str, Any]) -> Asked:
    given = asked["input"]
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    form = (asked.get("text") or {}).get("format") or {}
    content, orders = _split(messages)
    return content, f"{asked.get('instructions') or ''}\n{orders}".strip(), form


def _chat(asked: Mapping[str, Any]) -> Asked:
    content, orders = _split(asked["messages"])
    form = asked.get("response_format") or {}
    return content, orders, {**form, **form.get("json_schema", {})}


def _split(messages: list[Mapping[str, Any]]) -> tuple[str, str]:
    """What the user said last, and what all others said."""
    spoken = [(m["role"], _words(m["content"])) for m in messages]
    content = [words for role, words in spoken if role == "user"][-1]
    return content, "\n".join(words for role, words in spoken if role != "user")


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content)


def _said(content: str, instructions: str, form: Mapping[str, Any], speak: Speaker) -> str:
    asked = task(content, instructions)
    if form.get("type") != "json_schema":
        return speak(str(asked.tweets[0]["text"]), instructions)
    return json.dumps(fill(form["schema"], asked, speak), ensure_ascii=False)


def _tokens(text: str) -> int:
    return len(text) // CHARACTERS_PER_TOKEN + 1


def _wrong_key(header: str) -> dict[str, Any]:
    """OpenAI's answer, with the header quoted in full, as some servers of its API do."""
    refused = OPENAI_ERRORS[401]["error"]
    return {"error": {**refused, "message": refused["message"].replace(HIDDEN_KEY, header)}}


def _bad_request(message: str) -> dict[str, Any]:
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    }
