"""
Who may call: every route that asks for a login, with every token that is none.
"""

from __future__ import annotations

import attrs
import pytest

from sft_http.app import routes
from sft_http.openapi import CALLS, document
from support.edge import Edge

OPEN = {"/auth/register", "/auth/login", "/auth/refresh", "/files/shared/{token}"}
CLOSED = [(call.method.upper(), call.path) for call in CALLS if call.path not in OPEN]


def path_of(template: str) -> str:
    return template.replace("{id}", "00000000-0000-7000-8000-000000000000")


def assert_unauthorised(service: Edge, headers: dict[str, str]) -> None:
    for method, path in CLOSED:
        answer = service.call(method, path_of(path), headers=headers)
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert method == "HEAD" or answer.json["code"] in {"not-authenticated", "bad-token"}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic bWF5YTptYXlh",
        "Bearer a b",
        "Bearer x.y.z",
        "Token x",
        "Bearer " + "x" * 7000,
    ],
)
def test_no_route_answers_without_a_token(service: Edge, authorization: str | None) -> None:
    """A missing or malformed login is 401 on every route that asks for one."""
    assert_unauthorised(service, {} if authorization is None else {"Authorization": authorization})


def test_a_refresh_token_is_no_access_token(service: Edge, token: str) -> None:
    """What is made for one exchange opens nothing else, and the other way round."""
    assert token
    tokens = service.sign_in()
    assert_unauthorised(service, {"Authorization": f"Bearer {tokens['refresh_token']}"})
    swapped = service.call("POST", "/auth/refresh", body={"refresh_token": tokens["access_token"]})
    assert (swapped.status_code, swapped.json["code"]) == (401, "bad-token")


def test_an_expired_token_opens_nothing(service: Edge, token: str) -> None:
    """Access ends after its thirty minutes; the refresh token still works, for seven days."""
    refresh = service.sign_in()["refresh_token"]
    service.clock.advance(minutes=30)
    assert_unauthorised(service, {"Authorization": f"Bearer {token}"})
    service.clock.advance(days=6)
    renewed = service.call("POST", "/auth/refresh", body={"refresh_token": refresh})
    assert renewed.status_code == 200
    service.clock.advance(days=8)
    late = service.call("POST", "/auth/refresh", body={"refresh_token": renewed.json["refresh_token"]})
    assert late.status_code == 401


def test_a_revoked_family_opens_nothing(service: Edge, token: str) -> None:
    """After a refresh token came back, neither its descendants nor their access tokens count."""
    assert token
    first = service.sign_in()
    second = service.call("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]}).json
    assert service.call("GET", "/auth/me", token=second["access_token"]).status_code == 200
    assert service.call("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]}).status_code == 401
    for access in (first["access_token"], second["access_token"]):
        assert_unauthorised(service, {"Authorization": f"Bearer {access}"})
    assert service.call("GET", "/auth/me", token=token).status_code == 200


def test_every_other_spelling_of_a_token_is_refused(service: Edge, token: str) -> None:
    """A changed letter anywhere, padding or a trailing dot make it no token."""
    for other in (token + "=", token + ".", token[:-1], token[:20] + "A" + token[21:], token.replace(".", "..", 1)):
        if other != token:
            assert service.call("GET", "/auth/me", token=other).status_code == 401


def test_a_switched_off_account_is_403(service: Edge, token: str) -> None:
    """Its tokens and its password are right, and it may do nothing."""
    refresh = service.sign_in()["refresh_token"]
    with service.application.register_user.begin() as unit:
        (user,) = unit._read().users.values()  # type: ignore[attr-defined]
        unit.users.save(attrs.evolve(user, is_active=False))
        unit.commit()
    login = {"email": "maya@example.org", "password": "correct horse battery"}
    for answer in (
        service.call("GET", "/auth/me", token=token),
        service.call("POST", "/auth/login", body=login),
        service.call("POST", "/auth/refresh", body={"refresh_token": refresh}),
    ):
        assert (answer.status_code, answer.json["detail"]) == (403, "Inactive user")


def test_the_open_routes_are_the_contracts(service: Edge) -> None:
    """Nothing but signing in, links and the service's own pages is open."""
    api = service.settings.api_v1_prefix
    served = {path for path, _ in routes(service.application, service.settings, service.lanes)}
    closed = {path.removeprefix(api) for path in served if path.startswith(api)} - OPEN
    assert closed | OPEN == {call.path for call in CALLS}
    for call in CALLS:
        path = call.path.format(id="018f0000-0000-7000-8000-000000000000", token="A" * 43)
        status = service.call(call.method.upper(), path).status_code
        assert (status == 401) == (call.path in closed), call
        security = document(service.settings)["paths"][api + call.path][call.method]["security"]
        assert security == ([{"bearer": []}] if call.path in closed else []), call
    assert served - {api + path for path in closed | OPEN} == {
        "/", "/health", "/openapi.json", "/docs", "/redoc", "/static/{name}",
    }  # fmt: skip
