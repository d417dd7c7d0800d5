"""The REST API from Python: what the command line itself uses."""

from collections.abc import Mapping
from typing import Any

import httpx

ANSWER_WITHIN_SECONDS = 35.0
"""Above the 29 s after which API Gateway gives up."""

KEY_REFUSED = (401, 403)
"""What API Gateway answers where the key is not the one of this deployment."""


class ApiError(Exception):
    """The API refused or could not be reached; ``status`` is None where no answer arrived."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """The routes of a search; raises ApiError for every answer that is not a success."""

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        # The API is on loopback, where a proxy of the environment has no business.
        self._http = httpx.Client(
            headers={"x-api-key": key},
            timeout=ANSWER_WITHIN_SECONDS,
            transport=transport,
            trust_env=False,
        )
        self._url = url

    def search(self, request: Mapping[str, Any], *, wait_seconds: int) -> dict[str, Any]:
        """The finished search, or its ``workflow_id`` and ``status_url`` where it still runs."""
        return self._ask(
            "POST", "/api/orchestrator/auto-search", {**request, "wait_seconds": wait_seconds}
        )

    def status(self, workflow_id: str) -> dict[str, Any]:
        """The record of an execution, with its result once it has ended."""
        return self._ask("GET", f"/workflow/status/{workflow_id}")

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, self._url + path, json=body)
        except httpx.HTTPError as error:
            raise ApiError(f"{self._url} does not answer ({type(error).__name__})") from error
        answer = _json_object(response)
        if response.is_success and answer is not None:
            return answer
        raise ApiError(_refusal(response, answer or {}), response.status_code)


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _refusal(response: httpx.Response, problem: Mapping[str, Any]) -> str:
    """What went wrong in a sentence, from a problem document or from API Gateway's ``message``."""
    if response.is_success:
        return f"{response.status_code}: the answer is no JSON object"
    said = problem.get("detail") or problem.get("message") or response.reason_phrase
    hint = ". `marquee up` renews the key." if response.status_code in KEY_REFUSED else ""
    return f"{response.status_code}: {said}{hint}"
