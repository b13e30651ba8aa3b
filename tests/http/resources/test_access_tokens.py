"""
Who may call: every route that the application has, with every token that is none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import falcon.inspect
import jwt
import pytest
from falcon.asgi import Request, Response

from sft_adapters.crypto.tokens import JwtSigner
from support.app.edge import API, Edge

Route = tuple[str, str]

UNDESCRIBED = {
    *((method, path) for method in ("GET", "HEAD") for path in ("/openapi.json", "/docs", "/redoc", "/static/{name}")),
    *(("OPTIONS", f"{API}/tus{path}") for path in ("", "/{id}")),
}
OPEN = UNDESCRIBED | {
    ("POST", f"{API}/auth/register"),
    ("POST", f"{API}/auth/login"),
    ("POST", f"{API}/auth/refresh"),
    ("GET", f"{API}/files/shared/{{token}}"),
    ("HEAD", f"{API}/files/shared/{{token}}"),
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/health"),
    ("HEAD", "/health"),
}
"""All that a stranger may call. A route that is not named here asks for a login."""


def routes(service: Edge) -> set[Route]:
    """
    Every method of every path that the application answers by code of ours.
    """
    app = falcon.inspect.inspect_app(service.client.app)
    assert not app.sinks
    assert not app.static_routes
    return {(method.method, route.path) for route in app.routes for method in route.methods if not method.internal}


@attrs.frozen
class Door:
    """
    An application's routes as somebody with a certain token meets them; each leads to a file that is there.
    """

    service: Edge
    file: str

    def answers(self, authorization: str | None) -> Iterator[tuple[Route, falcon.testing.Result]]:
        """
        What each route answers to a request with this header.
        """
        headers = {"Tus-Resumable": "1.0.0"} | ({} if authorization is None else {"Authorization": authorization})
        for method, path in sorted(routes(self.service)):
            filled = path.format(id=self.file, token="A" * 43, name="docs.js")
            yield (method, path), self.service.call(method, f"/{filled}", headers=headers)

    def opens(self, authorization: str | None) -> set[Route]:
        """
        The routes that answer anything but the 401 that a stranger gets.
        """
        return {route for route, response in self.answers(authorization) if not refuses(route, response)}


def refuses(route: Route, response: falcon.testing.Result) -> bool:
    if response.status_code != 401 or response.headers.get("www-authenticate") != "Bearer":
        return False
    return route[0] == "HEAD" or response.json["code"] in {"not-authenticated", "bad-token"}


@pytest.fixture
def door(service: Edge, token: str) -> Door:
    return Door(service, service.store(token, b"content")["id"])


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
def test_nothing_that_is_not_named_as_open_answers_without_a_token(door: Door, authorization: str | None) -> None:
    """Signing in, links and the service's own pages are open; a missing or malformed login is 401 on all else."""
    assert door.opens(authorization) == OPEN


class Planted:
    """
    A route whose author forgot to ask who calls.
    """

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {}


def test_a_route_that_forgets_to_ask_is_seen(door: Door) -> None:
    """The test above finds an open route by itself, whoever adds it and wherever."""
    door.service.client.app.add_route(f"{API}/files/{{id}}/planted", Planted())
    assert door.opens(None) - OPEN == {("GET", f"{API}/files/{{id}}/planted")}


def test_the_right_token_opens_every_route(door: Door, token: str) -> None:
    """What is refused above is refused for the token alone."""
    assert door.opens(f"Bearer {token}") == routes(door.service)


def test_the_description_says_which_routes_are_open(service: Edge) -> None:
    """Each operation of the OpenAPI document names its login, or that there is none, and none is left out."""
    document = service.call("GET", "//openapi.json").json
    assert "security" not in document
    said = {
        (method.upper(), path.rstrip("/") or "/"): operation["security"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    # A file of that name is one of `PUT /files/{name}`, which is described.
    assert said.keys() == routes(service) - UNDESCRIBED - {("PUT", f"{API}/files/upload")}
    assert {route for route, security in said.items() if security == []} == OPEN - UNDESCRIBED
    assert all(security == [{"bearer": []}] for route, security in said.items() if route not in OPEN)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(service: Edge, token: str, **changed: object) -> str:
    """
    The token again with other claims, signed as the service signs it; a claim that is None is left out.
    """
    claims = claims_of(token) | changed
    signer = service.application.users.authenticate.verify.signer
    assert isinstance(signer, JwtSigner)
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, signer.secret.reveal(), signer.algorithm)


def unsigned(_service: Edge, token: str) -> str:
    return jwt.encode(claims_of(token), "", "none")


def with_its_signature_cut_off(_service: Edge, token: str) -> str:
    return token.rpartition(".")[0] + "."


def with_another_key(_service: Edge, token: str) -> str:
    return jwt.encode(claims_of(token), os.urandom(64), "HS256")


def by_another_algorithm(service: Edge, token: str) -> str:
    signer = service.application.users.authenticate.verify.signer
    assert isinstance(signer, JwtSigner)
    return jwt.encode(claims_of(token), signer.secret.reveal(), "HS512")


def that_names_its_key(service: Edge, token: str) -> str:
    signer = service.application.users.authenticate.verify.signer
    assert isinstance(signer, JwtSigner)
    return jwt.encode(claims_of(token), signer.secret.reveal(), "HS256", headers={"kid": "1"})


def for_refreshing(service: Edge, _token: str) -> str:
    return service.sign_in()["refresh_token"]


def that_is_over(service: Edge, token: str) -> str:
    return signed(service, token, exp=int(service.clock.now().timestamp()))


def that_never_ends(service: Edge, token: str) -> str:
    return signed(service, token, exp=None)


def from_the_future(service: Edge, token: str) -> str:
    return signed(service, token, iat=int(service.clock.now().timestamp()) + 3600)


def of_no_kind(service: Edge, token: str) -> str:
    return signed(service, token, type=None)


def from_another_issuer(service: Edge, token: str) -> str:
    return signed(service, token, iss="other")


def for_another_audience(service: Edge, token: str) -> str:
    return signed(service, token, aud="other")


def of_no_session(service: Edge, token: str) -> str:
    return signed(service, token, sid="00000000-0000-7000-8000-000000000000")


def of_another_user(service: Edge, token: str) -> str:
    return signed(service, token, sub=claims_of(service.sign_up("noor"))["sub"])


WRONG = [
    unsigned,
    with_its_signature_cut_off,
    with_another_key,
    by_another_algorithm,
    that_names_its_key,
    for_refreshing,
    that_is_over,
    that_never_ends,
    from_the_future,
    of_no_kind,
    from_another_issuer,
    for_another_audience,
    of_no_session,
    of_another_user,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda kind: kind.__name__)
def test_no_wrong_kind_of_token_opens_a_route(door: Door, token: str, wrong: Callable[[Edge, str], str]) -> None:
    """A token that differs from a good one in one thing opens what is open to all, and nothing else."""
    assert door.opens(f"Bearer {wrong(door.service, token)}") == OPEN


def test_a_token_that_is_signed_again_as_it_was_is_good(door: Door, token: str) -> None:
    """What is wrong with the tokens above is what was changed in them."""
    assert door.opens(f"Bearer {signed(door.service, token)}") == routes(door.service)


def test_an_access_token_is_no_refresh_token(service: Edge, token: str) -> None:
    """What opens the routes cannot be exchanged for more of it."""
    swapped = service.call("POST", "/auth/refresh", body={"refresh_token": token})
    assert (swapped.status_code, swapped.json["code"]) == (401, "bad-token")


def test_an_expired_token_opens_nothing(door: Door, token: str) -> None:
    """Access ends after its thirty minutes; the refresh token still works, for seven days."""
    service = door.service
    refresh = service.sign_in()["refresh_token"]
    service.clock.advance(minutes=30)
    assert door.opens(f"Bearer {token}") == OPEN
    service.clock.advance(days=6)
    renewed = service.call("POST", "/auth/refresh", body={"refresh_token": refresh})
    assert renewed.status_code == 200
    service.clock.advance(days=8)
    late = service.call("POST", "/auth/refresh", body={"refresh_token": renewed.json["refresh_token"]})
    assert late.status_code == 401


def test_a_revoked_family_opens_nothing(door: Door, token: str) -> None:
    """After a refresh token came back, neither its descendants nor their access tokens count."""
    service = door.service
    first = service.sign_in()
    second = service.call("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]}).json
    assert service.call("GET", "/auth/me", token=second["access_token"]).status_code == 200
    assert service.call("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]}).status_code == 401
    for access in (first["access_token"], second["access_token"]):
        assert door.opens(f"Bearer {access}") == OPEN
    assert service.call("GET", "/auth/me", token=token).status_code == 200


def test_every_other_spelling_of_a_token_is_refused(service: Edge, token: str) -> None:
    """A changed letter anywhere, padding or a trailing dot make it no token."""
    for other in (token + "=", token + ".", token[:-1], token[:20] + "A" + token[21:], token.replace(".", "..", 1)):
        if other != token:
            assert service.call("GET", "/auth/me", token=other).status_code == 401


def test_a_switched_off_account_is_403(service: Edge, token: str) -> None:
    """Its tokens and its password are right, and it may do nothing."""
    refresh = service.sign_in()["refresh_token"]
    with service.application.users.register_user.begin() as unit:
        (user,) = unit._read().users.values()  # type: ignore[attr-defined]  # a unit in memory
        unit.users.save(attrs.evolve(user, is_active=False))
        unit.commit()
    login = {"email": "maya@example.org", "password": "correct horse battery"}
    for response in (
        service.call("GET", "/auth/me", token=token),
        service.call("POST", "/auth/login", body=login),
        service.call("POST", "/auth/refresh", body={"refresh_token": refresh}),
    ):
        assert (response.status_code, response.json["detail"]) == (403, "Inactive user")
