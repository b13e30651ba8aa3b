"""
Common properties of all responses: headers, request id, and the origins that may read them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.app.edge import Edge

REQUESTS = [
    ("GET", "//", 200),
    ("GET", "//health", 200),
    ("GET", "//docs", 200),
    ("GET", "//redoc", 200),
    ("GET", "//openapi.json", 200),
    ("GET", "//static/docs.js", 200),
    ("GET", "//static/nothing.js", 404),
    ("GET", "//nowhere", 404),
    ("GET", "/nowhere", 404),
    ("DELETE", "//health", 405),
    ("PATCH", "/files/upload", 405),
    ("GET", "/auth/me", 401),
    ("POST", "/auth/login", 415),
    ("GET", "/files/shared/x", 404),
    ("OPTIONS", "/files", 200),
]


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_response_has_the_security_headers(service: Edge, method: str, path: str, status: int) -> None:
    """Pages, responses and errors alike forbid sniffing and framing and state how they may be cached."""
    response = service.call(method, path)
    assert response.status_code == status
    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["server"] == "sft"
    assert headers["x-request-id"]
    assert headers["cache-control"]
    assert "strict-transport-security" not in headers
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert response.json["status"] == status
        assert response.json.keys() >= {"type", "title", "detail", "instance", "code"}
    if status == 405:
        assert "allow" in headers


def test_hsts_is_sent_over_tls(service: Edge) -> None:
    """The header is sent over TLS only (RFC 6797, section 7.2)."""
    response = service.client.simulate_get("/health", protocol="https")
    assert response.headers["strict-transport-security"].startswith("max-age=")


def test_request_id_is_kept_if_it_is_a_plain_word(service: Edge) -> None:
    """A client's id is returned; one that could corrupt a log is replaced."""
    assert (
        service.call("GET", "//health", headers={"X-Request-ID": "trace-0001"}).headers["x-request-id"] == "trace-0001"
    )
    for bad in ("short", "x" * 65, 'a"b,c{d}efgh', "with space 1"):
        assert service.call("GET", "//health", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_listed_origin_is_allowed(make_edge: Callable[..., Edge], method: str) -> None:
    """A listed origin may read responses; any other origin gets no such header."""
    service = make_edge(ALLOWED_ORIGINS="https://files.example.org")
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    good = service.call(method, "/files", headers={"Origin": "https://files.example.org", **preflight})
    assert good.headers["access-control-allow-origin"] == "https://files.example.org"
    assert "access-control-allow-credentials" not in good.headers
    for origin in (
        "https://evil.example",
        "null",
        "https://files.example.org.evil.example",
        "http://files.example.org",
    ):
        response = service.call(method, "/files", headers={"Origin": origin, **preflight})
        assert "access-control-allow-origin" not in response.headers
        assert "Origin" in response.headers["vary"]


def test_no_origin_is_allowed_by_default(service: Edge) -> None:
    """By default no page of another origin may read a response."""
    response = service.call("GET", "//health", headers={"Origin": "https://files.example.org"})
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_star_allows_every_origin(make_edge: Callable[..., Edge]) -> None:
    """A star never allows credentials."""
    response = make_edge(ALLOWED_ORIGINS="*").call("GET", "//health", headers={"Origin": "https://anyone.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
