"""
What may be had once, or so often, over real connections that all ask at the same moment.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyotp
import pytest

from support.service import Service
from support.wire import connected, multipart, receive, send

CLIENTS = 64


def at_once(count: int, ask: Callable[[], int]) -> Counter[int]:
    """
    The statuses of so many clients that ask at one moment.
    """
    start = threading.Barrier(count)

    def run(_number: int) -> int:
        start.wait(30)
        return ask()

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(run, range(count)))


@pytest.mark.parametrize("budget", [1, 2, 10])
def test_a_budget_gives_exactly_so_many_downloads(service: Service, budget: int) -> None:
    """Of sixty-four clients as many as the budget allows get the file, and all others are told so."""
    token = service.sign_up(f"racer-{budget}")
    headers, (before, after) = multipart("race.bin")
    headers["Authorization"] = f"Bearer {token}"
    form = before + bytes(100_000) + after
    with connected(service.port) as connection:
        send(
            connection, "POST", f"{service.api}/files/upload", headers | {"Authorization": f"Bearer {token}"}, len(form)
        )
        connection.sendall(form)
        file = receive(connection).json()["id"]
    link = service.call("POST", f"/files/{file}/share", token=token, body={"max_downloads": budget}).json()
    path = f"/files/shared/{link['share_token']}"
    assert at_once(CLIENTS, lambda: service.call("GET", path).status) == {200: budget, 403: CLIENTS - budget}
    assert service.call("GET", f"/files/{file}", token=token).json()["download_count"] == budget


def test_a_refresh_token_is_exchanged_once(service: Service) -> None:
    """Of sixty-four who exchange one token one succeeds, and the family ends."""
    account = {"email": "rotator@example.org", "username": "rotator", "password": "a long one"}
    assert service.call("POST", "/auth/register", body=account).status == 201
    login = {key: account[key] for key in ("email", "password")}
    refresh = {"refresh_token": service.call("POST", "/auth/login", body=login).json()["refresh_token"]}
    statuses = at_once(CLIENTS, lambda: service.call("POST", "/auth/refresh", body=refresh).status)
    assert statuses == {200: 1, 401: CLIENTS - 1}
    assert service.call("POST", "/auth/refresh", body=refresh).status == 401


def test_a_one_time_code_signs_in_once(service: Service) -> None:
    """Of five who sign in with one code one succeeds; more than five are not even looked at."""
    account = {"email": "phone@example.org", "username": "phone", "password": "a long one"}
    assert service.call("POST", "/auth/register", body=account).status == 201
    login = {key: account[key] for key in ("email", "password")}
    token = service.call("POST", "/auth/login", body=login).json()["access_token"]
    phone = pyotp.TOTP(service.call("POST", "/auth/2fa/setup", token=token).json()["secret"])

    def code(steps: int) -> str:
        return phone.at(datetime.now(UTC), counter_offset=steps)

    assert service.call("POST", "/auth/2fa/verify", token=token, body={"totp_code": code(-1)}).status == 200
    body = login | {"totp_code": code(0)}
    statuses = at_once(32, lambda: service.call("POST", "/auth/login", body=body).status)
    assert statuses[200] == 1
    assert set(statuses) <= {200, 401, 429}


def test_a_name_is_registered_once(service: Service) -> None:
    """Of thirty-two who register one address one gets the account."""
    account = {"email": "wanted@example.org", "username": "wanted", "password": "a long one"}
    statuses = at_once(32, lambda: service.call("POST", "/auth/register", body=account).status)
    assert statuses == {201: 1, 400: 31}
