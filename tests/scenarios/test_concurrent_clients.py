"""
Concurrent requests of many clients over real sockets: exactly the permitted number succeeds.

The service runs on the embedded default, and on PostgreSQL, Valkey and S3 with two workers.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from support.clients.owner import Authenticator
from support.clients.wire import Response, connected, head, multipart, receive, send_simultaneously
from support.servers import backends
from support.servers.service import Service, serving
from support.servers.stack import serving_on

CLIENTS = 64
"""Number of clients that send the same request."""

CODES = CLIENTS + 16
"""Permitted wrong one-time codes of a user: more than there are racing clients, fewer than guesses."""

GUESSES = CODES + 16

CONTENT = os.urandom(20_000)
FILES_IN_QUOTA = 13
"""Number of such files that a user's quota allows."""

SETTINGS = {
    "ARGON2_MEMORY_KIB": "8192",
    "HASH_WAIT_SECONDS": "60",
    "SIGN_IN_ATTEMPTS": "1000",
    "TOTP_ATTEMPTS": str(CODES),
    "USER_QUOTA": str(FILES_IN_QUOTA * len(CONTENT) + len(CONTENT) // 2),
    # Longer than the test: no attempt is permitted again while it runs.
    "ATTEMPTS_WINDOW_MINUTES": "1440",
}
ROUNDS = 3
"""Repetitions of each race, because a race condition does not show in every run."""


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("embedded"), settings=SETTINGS) as service:
        yield service


@pytest.fixture(scope="module")
def on_servers(
    tmp_path_factory: pytest.TempPathFactory, postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3
) -> Iterator[Service]:
    with serving_on(tmp_path_factory.mktemp("on-servers"), postgres, valkey, s3, settings=SETTINGS) as service:
        yield service


@pytest.fixture(scope="module", params=["embedded", "on_servers"])
def raced(request: pytest.FixtureRequest) -> Service:
    service: Service = request.getfixturevalue(request.param)
    return service


def posting(service: Service, path: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    return head("POST", service.api + path, {"Content-Type": "application/json"}, len(content)) + content


def outcomes(responses: list[Response]) -> Counter[tuple[int, str]]:
    """
    Count the responses by status and problem detail.
    """
    return Counter(
        (response.status, "" if response.status < 400 else response.json()["detail"]) for response in responses
    )


@pytest.fixture(scope="module")
def token(raced: Service) -> str:
    return raced.sign_up("racer")


def uploading(service: Service, token: str) -> bytes:
    headers, (before, after) = multipart("raced.bin")
    form = before + CONTENT + after
    return head("POST", f"{service.api}/files/upload", headers | {"Authorization": f"Bearer {token}"}, len(form)) + form


def stored(service: Service, token: str) -> str:
    with connected(service.port) as connection:
        connection.sendall(uploading(service, token))
        return str(receive(connection).json()["id"])


@pytest.mark.parametrize("budget", [1, 2, 10])
def test_link_grants_exactly_its_download_budget(raced: Service, token: str, budget: int) -> None:
    """Of sixty-four clients exactly the budget receives the whole file, and the file's download count agrees."""
    file = stored(raced, token)
    for _ in range(ROUNDS):
        link = raced.call("POST", f"/files/{file}/share", token=token, body={"max_downloads": budget}).json()
        responses = send_simultaneously(raced.port, head("GET", link["share_url"], {}, 0), clients=CLIENTS)
        assert outcomes(responses) == {(200, ""): budget, (403, "Download limit reached"): CLIENTS - budget}
        assert all(response.body == CONTENT for response in responses if response.status == 200)
    count = raced.call("GET", f"/files/{file}", token=token).json()["download_count"]
    assert count == ROUNDS * budget


def registered(service: Service, name: str) -> dict[str, str]:
    account = {"email": f"{name}@example.org", "password": "correct horse battery"}
    assert service.call("POST", "/auth/register", body={**account, "username": name}).status == 201
    return account


def test_refresh_token_is_exchanged_exactly_once(raced: Service) -> None:
    """One of sixty-four clients receives tokens; the others' reuse then revokes the family, but no other session."""
    account = registered(raced, "refresher")
    tokens = raced.call("POST", "/auth/login", body=account).json()
    others = raced.call("POST", "/auth/login", body=account).json()
    body = {"refresh_token": tokens["refresh_token"]}
    responses = send_simultaneously(raced.port, posting(raced, "/auth/refresh", body), clients=CLIENTS)
    assert Counter(response.status for response in responses) == {200: 1, 401: CLIENTS - 1}
    (won,) = (response.json() for response in responses if response.status == 200)
    assert raced.call("GET", "/auth/me", token=won["access_token"]).status == 401
    assert raced.call("POST", "/auth/refresh", body={"refresh_token": won["refresh_token"]}).status == 401
    assert raced.call("GET", "/auth/me", token=others["access_token"]).status == 200


def enrolled(service: Service, name: str) -> tuple[dict[str, str], Authenticator]:
    """
    Register a user with a second factor and return an authenticator whose current code is unused.
    """
    account = registered(service, name)
    token = service.call("POST", "/auth/login", body=account).json()["access_token"]
    phone = Authenticator(service.call("POST", "/auth/2fa/setup", token=token).json()["secret"])
    verified = service.call("POST", "/auth/2fa/verify", token=token, body={"totp_code": phone.code(-1)})
    assert verified.status == 200
    return account, phone


def test_one_time_code_signs_in_exactly_once(raced: Service) -> None:
    """One of sixty-four clients with the right password and the same valid code signs in."""
    account, phone = enrolled(raced, "once")
    login = posting(raced, "/auth/login", {**account, "totp_code": phone.code()})
    responses = send_simultaneously(raced.port, login, clients=CLIENTS)
    assert outcomes(responses) == {(200, ""): 1, (401, "Invalid 2FA code"): CLIENTS - 1}


def test_wrong_codes_are_limited_exactly(raced: Service) -> None:
    """Of ninety-six wrong codes the permitted number gets 401, and the others get 429 with Retry-After."""
    account, phone = enrolled(raced, "guessed")
    login = posting(raced, "/auth/login", {**account, "totp_code": phone.wrong()})
    responses = send_simultaneously(raced.port, login, clients=GUESSES)
    assert Counter(response.status for response in responses) == {401: CODES, 429: GUESSES - CODES}
    assert all(int(response.headers["retry-after"]) > 0 for response in responses if response.status == 429)


def test_address_is_registered_exactly_once(raced: Service) -> None:
    """One of sixty-four clients creates the account, and its user id is the one that signs in."""
    account = {"email": "wanted@example.org", "username": "wanted", "password": "correct horse battery"}
    responses = send_simultaneously(raced.port, posting(raced, "/auth/register", account), clients=CLIENTS)
    assert outcomes(responses) == {(201, ""): 1, (400, "Email already registered"): CLIENTS - 1}
    (won,) = (response.json() for response in responses if response.status == 201)
    del account["username"]
    token = raced.call("POST", "/auth/login", body=account).json()["access_token"]
    assert raced.call("GET", "/auth/me", token=token).json()["id"] == won["id"]


def keyed(token: str, key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Idempotency-Key": key, **more}


@pytest.mark.parametrize("kind", ["form", "unannounced"])
def test_concurrent_uploads_with_one_idempotency_key_store_one_file(raced: Service, kind: str) -> None:
    """Sixty-four clients receive the same response with one file and one link."""
    token = raced.sign_up(f"{kind}-sender")
    named, (before, after) = multipart("once.bin")
    for number in range(ROUNDS if kind == "form" else 1):
        headers = keyed(token, f"key-{number}", **named)
        if kind == "form":
            form = before + CONTENT + after
            request = head("POST", f"{raced.api}/files/upload?is_public=true", headers, len(form)) + form
        else:
            plain = head("PUT", f"{raced.api}/files/once.bin?is_public=true", headers, 0)
            chunked = plain.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            request = chunked + b"%x\r\n" % len(CONTENT[:100]) + CONTENT[:100] + b"\r\n0\r\n\r\n"
        responses = send_simultaneously(raced.port, request, clients=CLIENTS)
        assert Counter(response.status for response in responses) == {201: CLIENTS}, {
            response.body for response in responses
        }
        assert len({response.body for response in responses}) == 1
        files = raced.call("GET", "/files/", token=token).json()
        assert len(files) == number + 1
        assert files[0] == responses[0].json()


def test_concurrent_shares_with_one_idempotency_key_create_one_link(raced: Service, token: str) -> None:
    """Sixty-four clients receive the same link token, whose budget of one download is granted once."""
    path = f"{raced.api}/files/{stored(raced, token)}/share"
    body = b'{"max_downloads": 1}'
    for number in range(ROUNDS):
        headers = keyed(token, f"link-{number}", **{"Content-Type": "application/json"})
        responses = send_simultaneously(raced.port, head("POST", path, headers, len(body)) + body, clients=CLIENTS)
        assert Counter(response.status for response in responses) == {200: CLIENTS}, {
            response.body for response in responses
        }
        (link,) = {response.json()["share_url"] for response in responses}
        assert outcomes(send_simultaneously(raced.port, head("GET", link, {}, 0), clients=4))[(200, "")] == 1


def test_quota_admits_exactly_the_files_that_fit(raced: Service) -> None:
    """Of sixty-four uploads the fitting number is stored; each deletion makes space for exactly one more."""
    token = raced.sign_up("hoarder")
    for fitting in (FILES_IN_QUOTA, 1, 4):
        responses = send_simultaneously(raced.port, uploading(raced, token), clients=64)
        assert Counter(response.status for response in responses) == {201: fitting, 413: 64 - fitting}
        assert {response.json()["code"] for response in responses if response.status == 413} == {"quota-exceeded"}
        files = raced.call("GET", "/files/?limit=100", token=token).json()
        assert [file["file_size"] for file in files] == [len(CONTENT)] * FILES_IN_QUOTA
        for file in files[: 1 if fitting == FILES_IN_QUOTA else 4]:
            assert raced.call("DELETE", f"/files/{file['id']}", token=token).status == 204
