"""
The account endpoints of the owner's contract, tested with curl on a server started as the README says.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from support.clients.curl import CurlResult
from support.clients.owner import (
    Authenticator,
    Curl,
    assert_names_faults,
    assert_problem,
    bearer_arguments,
    body,
    parsed_time,
)
from support.servers.service import Service

EMAIL, NAME, PASSWORD = "maya@example.org", "maya", "correct horse battery"


@pytest.fixture(scope="module")
def user(call: Curl) -> dict[str, Any]:
    response = call("/auth/register", *body(email=EMAIL, username=NAME, password=PASSWORD))
    assert response.status == 201
    created: dict[str, Any] = response.json()
    return created


def login(call: Curl, user: dict[str, Any], **more: str) -> CurlResult:
    return call("/auth/login", *body(**{"email": user["email"], "password": PASSWORD, **more}))


@pytest.fixture(scope="module")
def bearer(call: Curl, user: dict[str, Any]) -> tuple[str, str]:
    response = login(call, user)
    assert response.status == 200
    return bearer_arguments(response.json()["access_token"])


def claims(token: str) -> dict[str, Any]:
    _, payload, _ = token.split(".")
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_registration_returns_201_and_the_user(user: dict[str, Any]) -> None:
    """The user has every field of the contract and no secret."""
    assert user.keys() == {
        "id",
        "email",
        "username",
        "is_active",
        "is_verified",
        "two_factor_enabled",
        "created_at",
        "last_login",
    }
    assert UUID(user["id"]).version == 7
    assert (user["email"], user["username"]) == (EMAIL, NAME)
    assert (user["is_active"], user["is_verified"], user["two_factor_enabled"]) == (True, False, False)
    assert user["last_login"] is None
    assert abs(parsed_time(user["created_at"]) - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("email", "name"),
    [(EMAIL, "someone"), (EMAIL.upper(), "someone"), ("someone@example.org", NAME), ("someone@example.org", "MAYA")],
)
def test_registered_address_or_name_is_400(call: Curl, user: dict[str, Any], email: str, name: str) -> None:
    """The error does not say which of the two is registered."""
    assert user["username"] == NAME
    response = call("/auth/register", *body(email=email, username=name, password="long enough"))
    assert_problem(response, 400, "Email already registered")


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"email": "nobody", "username": "x", "password": "short"}, ["email", "username", "password"]),
        ({}, ["email", "username", "password"]),
    ],
)
def test_invalid_registration_is_422_and_names_each_field(call: Curl, fields: dict[str, str], paths: list[str]) -> None:
    """All errors are reported together, each with its path; the bounds are the contract's."""
    assert_names_faults(call("/auth/register", *body(**fields)), *paths)


def test_shortest_and_longest_username_are_accepted(call: Curl) -> None:
    """Usernames have 3 to 50 characters, and passwords at least 8."""
    for name in ("abc", "z" * 50):
        response = call("/auth/register", *body(email=f"{name}@example.org", username=name, password="8 chars!"))
        assert (response.status, response.json()["username"]) == (201, name)


def test_sign_in_returns_bearer_tokens(call: Curl, user: dict[str, Any]) -> None:
    """The response has only the contract's tokens; the access token contains its user and type."""
    response = login(call, user)
    assert response.status == 200
    tokens = response.json()
    assert tokens.keys() == {"access_token", "refresh_token", "token_type"}
    assert tokens["token_type"] == "bearer"
    access, refresh = claims(tokens["access_token"]), claims(tokens["refresh_token"])
    assert (access["sub"], access["type"]) == (user["id"], "access")
    assert (refresh["sub"], refresh["type"]) == (user["id"], "refresh")
    assert access["exp"] - access["iat"] == 30 * 60
    assert refresh["exp"] - refresh["iat"] == 7 * 24 * 60 * 60


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong password"), ("stranger@example.org", PASSWORD)])
def test_wrong_credentials_are_401(call: Curl, user: dict[str, Any], email: str, password: str) -> None:
    """An unknown address and a wrong password get the same response."""
    assert user["email"] == EMAIL
    response = call("/auth/login", *body(email=email, password=password))
    assert_problem(response, 401, "Incorrect email or password")


def test_refresh_rotates_the_tokens(call: Curl, user: dict[str, Any]) -> None:
    """A refresh token is valid once; its reuse revokes the whole family."""
    first = login(call, user).json()["refresh_token"]
    second = call("/auth/refresh", *body(refresh_token=first))
    assert second.status == 200
    assert second.json().keys() == {"access_token", "refresh_token", "token_type"}
    assert second.json()["refresh_token"] != first
    access, descendant = second.json()["access_token"], second.json()["refresh_token"]
    assert call("/auth/me", *bearer_arguments(access)).status == 200
    assert call("/auth/refresh", *body(refresh_token=first)).status == 401
    assert call("/auth/refresh", *body(refresh_token=descendant)).status == 401
    assert call("/auth/me", *bearer_arguments(access)).status == 401


def test_malformed_refresh_token_is_401(call: Curl, user: dict[str, Any]) -> None:
    """Neither an access token nor an arbitrary word can be exchanged."""
    for token in (login(call, user).json()["access_token"], "nonsense"):
        assert call("/auth/refresh", *body(refresh_token=token)).status == 401


def test_me_returns_the_signed_in_user(call: Curl, bearer: tuple[str, str], user: dict[str, Any]) -> None:
    """The account shows the time of the last sign-in."""
    response = call("/auth/me", *bearer)
    assert response.status == 200
    seen = response.json()
    assert parsed_time(seen.pop("last_login")) >= parsed_time(user["created_at"])
    assert seen == {name: value for name, value in user.items() if name != "last_login"}


def test_deactivated_account_is_403(call: Curl, readme_service: Service) -> None:
    """With the right password and valid tokens it can neither sign in, nor refresh, nor make requests."""
    account = {"email": "olga@example.org", "password": PASSWORD}
    created = call("/auth/register", *body(username="olga", **account)).json()
    tokens = call("/auth/login", *body(**account)).json()
    readme_service.edit("UPDATE users SET is_active = 0 WHERE id = ?", UUID(created["id"]).bytes)
    bearer = bearer_arguments(tokens["access_token"])
    for response in (
        call("/auth/me", *bearer),
        call("/files/", *bearer),
        call("/files/upload", *bearer, "-F", "file=content;filename=a.txt"),
        call("/auth/login", *body(**account)),
        call("/auth/refresh", *body(refresh_token=tokens["refresh_token"])),
    ):
        assert_problem(response, 403, "Inactive user")


def signed_up(call: Curl, name: str) -> tuple[dict[str, Any], tuple[str, str]]:
    account = {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
    created: dict[str, Any] = call("/auth/register", *body(**account)).json()
    return created, bearer_arguments(login(call, created).json()["access_token"])


def test_two_factor_from_set_up_to_disabling(call: Curl) -> None:
    """The set-up returns seed and QR code; after its first code, every sign-in requires an unused code."""
    tina, bearer = signed_up(call, "tina")
    setup = call("/auth/2fa/setup", *bearer, "-X", "POST")
    assert (setup.status, setup.json().keys()) == (200, {"secret", "qr_code"})
    prefix = "data:image/png;base64,"
    assert setup.json()["qr_code"].startswith(prefix)
    assert base64.b64decode(setup.json()["qr_code"][len(prefix) :]).startswith(b"\x89PNG")
    phone = Authenticator(setup.json()["secret"])
    assert login(call, tina).status == 200

    verified = call("/auth/2fa/verify", *bearer, *body(totp_code=phone.code(-1)))
    assert (verified.status, verified.json().keys()) == (200, {"message"})
    assert call("/auth/me", *bearer).json()["two_factor_enabled"] is True

    assert_problem(login(call, tina), 400, "2FA code required")
    assert_problem(login(call, tina, totp_code=phone.wrong()), 401, "Invalid 2FA code")
    code = phone.code()
    assert login(call, tina, totp_code=code).status == 200
    assert_problem(login(call, tina, totp_code=code), 401, "Invalid 2FA code")

    off = call("/auth/2fa/disable", *bearer, "-X", "DELETE", *body(totp_code=phone.code(1)))
    assert (off.status, off.json().keys()) == (200, {"message"})
    assert call("/auth/me", *bearer).json()["two_factor_enabled"] is False
    assert login(call, tina).status == 200


def test_two_factor_refuses_wrong_order_and_wrong_codes(call: Curl) -> None:
    """
    Refused are a code before the set-up, a second set-up, and a wrong, used or missing code; POST disables it too.
    """
    _, bearer = signed_up(call, "uma")
    off = ("/auth/2fa/disable", *bearer)
    assert_problem(call("/auth/2fa/verify", *bearer, *body(totp_code="123456")), 400, "2FA setup not initiated")
    for method in ("POST", "DELETE"):
        assert_problem(call(*off, "-X", method, *body(totp_code="123456")), 400, "2FA is not enabled")

    phone = Authenticator(call("/auth/2fa/setup", *bearer, "-X", "POST").json()["secret"])
    assert_names_faults(call("/auth/2fa/verify", *bearer, *body()), "totp_code")
    assert_problem(call("/auth/2fa/verify", *bearer, *body(totp_code=phone.wrong())), 400, "Invalid 2FA code")
    used = phone.code(-1)
    assert call("/auth/2fa/verify", *bearer, *body(totp_code=used)).status == 200
    assert_problem(call("/auth/2fa/setup", *bearer, "-X", "POST"), 400, "2FA is already enabled")
    assert_problem(call("/auth/2fa/verify", *bearer, *body(totp_code=phone.code())), 400, "2FA setup not initiated")

    for method in ("POST", "DELETE"):
        assert_names_faults(call(*off, "-X", method, *body()), "totp_code")
        assert_problem(call(*off, "-X", method, *body(totp_code=used)), 400, "Invalid 2FA code")
    assert_problem(call(*off, *body(totp_code=phone.wrong())), 400, "Invalid 2FA code")
    switched = call(*off, "-X", "POST", *body(totp_code=phone.code()))
    assert (switched.status, switched.json().keys()) == (200, {"message"})
    assert call("/auth/me", *bearer).json()["two_factor_enabled"] is False
