"""
The owner's contract as a person types it: curl, JSON, a bearer token.
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
    Curl on the paths of the contract: it takes a path and what else stands on the command line.
    """

    def run(path: str, *arguments: str) -> CurlResult:
        prefix = "" if path in OUTSIDE_THE_API else service.api
        return curl(folder, f"{service.url}{prefix}{path}", *arguments)

    return run


def body(**fields: Any) -> tuple[str, ...]:
    """
    The arguments that send these fields as JSON.
    """
    return ("-H", "Content-Type: application/json", "-d", json.dumps(fields))


def bearer_arguments(token: str) -> tuple[str, str]:
    """
    The arguments that send a token along.
    """
    return ("-H", f"Authorization: Bearer {token}")


def parsed_time(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)
    return datetime.fromisoformat(text)


def assert_problem(response: CurlResult, status: int, detail: str) -> None:
    """
    The answer is a whole problem (RFC 9457) of this status that says this.
    """
    assert response.status == status, response.body
    assert response.headers["content-type"].startswith("application/problem+json")
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"] == detail
    assert problem.keys() >= {"type", "title", "status", "detail", "instance", "code"}


def assert_names_faults(response: CurlResult, *paths: str) -> None:
    """
    The answer is 422 and names exactly these fields, each with a sentence.
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
        The code of the present step of 30 seconds, or of one so many steps away.

        The last second of a step is waited out: the code has to arrive in the step it was made for.
        """
        left = 30 - time.time() % 30
        if left < 1:
            time.sleep(left)
        return pyotp.TOTP(self.seed).at(datetime.now(UTC), counter_offset=steps)

    def wrong(self) -> str:
        """
        A code of the right form that is none of those around the present step.
        """
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)
