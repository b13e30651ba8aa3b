"""
Authentication: every route of the application, with every kind of invalid token.
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
"""All routes that need no token; every other route requires one."""


def routes(service: Edge) -> set[Route]:
    """
    Every method and path that the application serves by code of its own.
    """
    app = falcon.inspect.inspect_app(service.client.app)
    assert not app.sinks
    assert not app.static_routes
    return {(method.method, route.path) for route in app.routes for method in route.methods if not method.internal}


@attrs.frozen
class RouteProbe:
    """
    Sends one request to every route of an application; each path refers to a file that exists.
    """

    service: Edge
    file: str

    def responses(self, authorization: str | None) -> Iterator[tuple[Route, falcon.testing.Result]]:
        """
        The response of each route to a request with this Authorization header.
        """
        headers = {"Tus-Resumable": "1.0.0"} | ({} if authorization is None else {"Authorization": authorization})
        for method, path in sorted(routes(self.service)):
            filled = path.format(id=self.file, token="A" * 43, name="docs.js")
            yield (method, path), self.service.call(method, f"/{filled}", headers=headers)

    def open_routes(self, authorization: str | None) -> set[Route]:
        """
        The routes whose response is anything but the 401 of an unauthenticated request.
        """
        return {route for route, response in self.responses(authorization) if not is_unauthenticated(route, response)}


def is_unauthenticated(route: Route, response: falcon.testing.Result) -> bool:
    if response.status_code != 401 or response.headers.get("www-authenticate") != "Bearer":
        return False
    return route[0] == "HEAD" or response.json["code"] in {"not-authenticated", "bad-token"}


@pytest.fixture
def probe(service: Edge, token: str) -> RouteProbe:
    return RouteProbe(service, service.store(token, b"content")["id"])


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
def test_only_open_routes_respond_without_a_token(probe: RouteProbe, authorization: str | None) -> None:
    """Sign-in, links and the service's own pages are open; without a well-formed token all else is 401."""
    assert probe.open_routes(authorization) == OPEN


class UnprotectedResource:
    """
    A resource that does not authenticate its caller.
    """

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {}


def test_unprotected_route_is_detected(probe: RouteProbe) -> None:
    """The test above finds an open route by itself, wherever it is added."""
    probe.service.client.app.add_route(f"{API}/files/{{id}}/planted", UnprotectedResource())
    assert probe.open_routes(None) - OPEN == {("GET", f"{API}/files/{{id}}/planted")}


def test_valid_token_opens_every_route(probe: RouteProbe, token: str) -> None:
    """The rejections above are due to the token alone."""
    assert probe.open_routes(f"Bearer {token}") == routes(probe.service)


def test_openapi_document_states_the_security_of_every_route(service: Edge) -> None:
    """Each operation requires the bearer token or declares that it needs none, and no operation is missing."""
    document = service.call("GET", "//openapi.json").json
    assert "security" not in document
    documented = {
        (method.upper(), path.rstrip("/") or "/"): operation["security"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    # `PUT /files/upload` is a case of `PUT /files/{name}`, which is described.
    assert documented.keys() == routes(service) - UNDESCRIBED - {("PUT", f"{API}/files/upload")}
    assert {route for route, security in documented.items() if security == []} == OPEN - UNDESCRIBED
    assert all(security == [{"bearer": []}] for route, security in documented.items() if route not in OPEN)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(service: Edge, token: str, **changed: object) -> str:
    """
    The token with other claims, signed with the service's key; a claim that is None is omitted.
    """
    claims = claims_of(token) | changed
    signer = service.application.users.authenticate.verify.signer
    assert isinstance(signer, JwtSigner)
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, signer.secret.reveal(), signer.algorithm)


def unsigned(_service: Edge, token: str) -> str:
    return jwt.encode(claims_of(token), "", "none")


def without_its_signature(_service: Edge, token: str) -> str:
    return token.rpartition(".")[0] + "."


def with_another_key(_service: Edge, token: str) -> str:
    return jwt.encode(claims_of(token), os.urandom(64), "HS256")


def with_another_algorithm(service: Edge, token: str) -> str:
    signer = service.application.users.authenticate.verify.signer
    assert isinstance(signer, JwtSigner)
    return jwt.encode(claims_of(token), signer.secret.reveal(), "HS512")


def with_a_key_id(service: Edge, token: str) -> str:
    signer = service.application.users.authenticate.verify.signer
    assert isinstance(signer, JwtSigner)
    return jwt.encode(claims_of(token), signer.secret.reveal(), "HS256", headers={"kid": "1"})


def a_refresh_token(service: Edge, _token: str) -> str:
    return service.sign_in()["refresh_token"]


def expired(service: Edge, token: str) -> str:
    return signed(service, token, exp=int(service.clock.now().timestamp()))


def without_an_expiry(service: Edge, token: str) -> str:
    return signed(service, token, exp=None)


def from_the_future(service: Edge, token: str) -> str:
    return signed(service, token, iat=int(service.clock.now().timestamp()) + 3600)


def without_a_type(service: Edge, token: str) -> str:
    return signed(service, token, type=None)


def from_another_issuer(service: Edge, token: str) -> str:
    return signed(service, token, iss="other")


def for_another_audience(service: Edge, token: str) -> str:
    return signed(service, token, aud="other")


def of_an_unknown_session(service: Edge, token: str) -> str:
    return signed(service, token, sid="00000000-0000-7000-8000-000000000000")


def of_another_user(service: Edge, token: str) -> str:
    return signed(service, token, sub=claims_of(service.sign_up("noor"))["sub"])


WRONG = [
    unsigned,
    without_its_signature,
    with_another_key,
    with_another_algorithm,
    with_a_key_id,
    a_refresh_token,
    expired,
    without_an_expiry,
    from_the_future,
    without_a_type,
    from_another_issuer,
    for_another_audience,
    of_an_unknown_session,
    of_another_user,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda kind: kind.__name__)
def test_invalid_token_opens_no_protected_route(
    probe: RouteProbe, token: str, wrong: Callable[[Edge, str], str]
) -> None:
    """A token that differs from a valid one in a single respect opens only the open routes."""
    assert probe.open_routes(f"Bearer {wrong(probe.service, token)}") == OPEN


def test_unchanged_token_signed_again_is_valid(probe: RouteProbe, token: str) -> None:
    """The tokens above are invalid because of the claims that were changed."""
    assert probe.open_routes(f"Bearer {signed(probe.service, token)}") == routes(probe.service)


def test_access_token_is_no_refresh_token(service: Edge, token: str) -> None:
    """An access token cannot be exchanged for new tokens."""
    swapped = service.call("POST", "/auth/refresh", body={"refresh_token": token})
    assert (swapped.status_code, swapped.json["code"]) == (401, "bad-token")


def test_expired_token_opens_no_protected_route(probe: RouteProbe, token: str) -> None:
    """An access token expires after 30 minutes, a refresh token after seven days."""
    service = probe.service
    refresh = service.sign_in()["refresh_token"]
    service.clock.advance(minutes=30)
    assert probe.open_routes(f"Bearer {token}") == OPEN
    service.clock.advance(days=6)
    renewed = service.call("POST", "/auth/refresh", body={"refresh_token": refresh})
    assert renewed.status_code == 200
    service.clock.advance(days=8)
    late = service.call("POST", "/auth/refresh", body={"refresh_token": renewed.json["refresh_token"]})
    assert late.status_code == 401


def test_revoked_token_family_opens_no_protected_route(probe: RouteProbe, token: str) -> None:
    """Reuse of a refresh token revokes all its descendants and their access tokens, not other sessions."""
    service = probe.service
    first = service.sign_in()
    second = service.call("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]}).json
    assert service.call("GET", "/auth/me", token=second["access_token"]).status_code == 200
    assert service.call("POST", "/auth/refresh", body={"refresh_token": first["refresh_token"]}).status_code == 401
    for access in (first["access_token"], second["access_token"]):
        assert probe.open_routes(f"Bearer {access}") == OPEN
    assert service.call("GET", "/auth/me", token=token).status_code == 200


def test_altered_token_is_rejected(service: Edge, token: str) -> None:
    """A token with a changed letter, padding or an extra dot is 401."""
    for other in (token + "=", token + ".", token[:-1], token[:20] + "A" + token[21:], token.replace(".", "..", 1)):
        if other != token:
            assert service.call("GET", "/auth/me", token=other).status_code == 401


def test_inactive_account_is_403(service: Edge, token: str) -> None:
    """Its valid tokens and its correct password are rejected."""
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
