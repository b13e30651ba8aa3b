"""
The owner's contract from a terminal: curl, JSON and a bearer token.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pyotp

from support.clients.curl import CurlResult, curl
from support.servers.service import Service

Curl = Callable[..., CurlResult]

OUTSIDE_THE_API = {"/", "/health", "/docs", "/redoc", "/openapi.json"}


def curl_at(service: Service, folder: Path) -> Curl:
    """
    Return a curl for the contract's paths that takes a path and further arguments.
    """

    def run(path: str, *arguments: str) -> CurlResult:
        prefix = "" if path in OUTSIDE_THE_API else service.api
        return curl(folder, f"{service.url}{prefix}{path}", *arguments)

    return run


def body(**fields: Any) -> tuple[str, ...]:
    """
    Return the arguments that send these fields as JSON.
    """
    return ("-H", "Content-Type: application/json", "-d", json.dumps(fields))


def bearer_arguments(token: str) -> tuple[str, str]:
    """
    Return the arguments that send a token.
    """
    return ("-H", f"Authorization: Bearer {token}")


def parsed_time(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)
    return datetime.fromisoformat(text)


def assert_problem(response: CurlResult, status: int, detail: str) -> None:
    """
    Assert that the response is a complete problem (RFC 9457) with this status and detail.
    """
    assert response.status == status, response.body
    assert response.headers["content-type"].startswith("application/problem+json")
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"] == detail
    assert problem.keys() >= {"type", "title", "status", "detail", "instance", "code"}


def assert_names_faults(response: CurlResult, *paths: str) -> None:
    """
    Assert that the response is 422 and names exactly these fields, each with a sentence.
    """
    assert_problem(response, 422, "The input is not valid.")
    assert {error["path"] for error in response.json()["errors"]} == set(paths)
    assert all(error["message"] for error in response.json()["errors"])


@attrs.frozen
class Authenticator:
    """
    An authenticator app that has read the set-up's seed.
    """

    seed: str = attrs.field(repr=False)

    def code(self, steps: int = 0) -> str:
        """
        Return the code of the current 30-second step, or of one this many steps away.

        It waits out the last second of a step, because the code has to arrive in its own step.
        """
        left = 30 - time.time() % 30
        if left < 1:
            time.sleep(left)
        return pyotp.TOTP(self.seed).at(datetime.now(UTC), counter_offset=steps)

    def wrong(self) -> str:
        """
        Return a well-formed code that is valid in no step near the current one.
        """
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)
