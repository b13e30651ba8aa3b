"""
What every answer has in common: headers, problems, documentation, a line in the log.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import falcon
import falcon.testing
import pytest

from sft_core import errors
from sft_core.errors import SftError
from sft_http import edge as edge_module
from sft_http import openapi, problems, worker
from sft_http.app import create_app
from sft_http.logs import JsonFormatter
from sft_http.resources import downloads
from support.edge import API, END, Edge, file_part

ROOT = Path(__file__).parents[2]

REQUESTS = [
    ("GET", "//", 200),
    ("GET", "//health", 200),
    ("GET", "//docs", 200),
    ("GET", "//redoc", 200),
    ("GET", "//openapi.json", 200),
    ("GET", "//static/docs.js", 200),
    ("GET", "//static/nothing.js", 404),
    ("GET", "//static/..%2fapp.py", 404),
    ("GET", "//nowhere", 404),
    ("GET", "/nowhere", 404),
    ("DELETE", "//health", 405),
    ("PATCH", "/files/upload", 405),
    ("GET", "/auth/me", 401),
    ("POST", "/auth/login", 415),
    ("GET", "/files/shared/x", 404),
    ("OPTIONS", "/files", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_answer_carries_the_headers(service: Edge, method: str, path: str, status: int) -> None:
    """Pages, answers and refusals alike are typed, framed by nobody and kept by nobody."""
    answer = service.call(method, path)
    assert answer.status_code == status
    headers = answer.headers
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
        assert answer.json["status"] == status
        assert answer.json.keys() >= {"type", "title", "detail", "instance", "code"}
    if status == 405:
        assert "allow" in headers


def test_over_tls_the_browser_is_told_to_stay(service: Edge) -> None:
    """HSTS is sent over TLS only (RFC 6797, section 7.2)."""
    answer = service.client.simulate_get("/health", protocol="https")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_an_unexpected_fault_tells_nothing(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is a 500 with a code; what it said is in the log and nowhere else."""
    canary = "the database password is hunter2"

    def broken(**_: object) -> None:
        raise RuntimeError(canary)

    application = attrs.evolve(service.application, list_files=broken)  # type: ignore[arg-type]
    resource = create_app(application, settings=_settings(service), lanes=service.lanes)
    answer = falcon.testing.TestClient(resource).simulate_get(
        f"{API}/files", headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.json["code"]) == (500, "internal-error")
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert any(record.exc_info and canary in str(record.exc_info[1]) for record in caplog.records)


def _settings(service: Edge) -> Any:
    app: Any = service.client.app
    route = app._router.find(f"{API}/files")
    return route[0].settings


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Busy(), 503),
        (errors.DatabaseUnavailable("secret detail"), 503),
        (errors.BlobStoreFull("secret detail"), 507),
        (errors.UnknownKey("0123"), 500),
        (errors.Conflict(), 409),
        (SftError("secret detail"), 500),
    ],
)
def test_our_own_errors_have_their_status(service: Edge, token: str, error: SftError, status: int) -> None:
    """Each error's class decides the status; only its public sentence is told."""

    def failing(**_: object) -> None:
        raise error

    application = attrs.evolve(service.application, list_files=failing)  # type: ignore[arg-type]
    app = create_app(application, settings=_settings(service), lanes=service.lanes)
    headers = {"Authorization": f"Bearer {token}"}
    answer = falcon.testing.TestClient(app).simulate_get(f"{API}/files", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (status, error.code)
    assert answer.json["detail"] == error.public
    assert "secret detail" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_request_id_is_kept_if_it_is_a_plain_word(service: Edge) -> None:
    """A caller's id is echoed; anything that could hurt a log is replaced."""
    assert (
        service.call("GET", "//health", headers={"X-Request-ID": "trace-0001"}).headers["x-request-id"] == "trace-0001"
    )
    for bad in ("short", "x" * 65, 'a"b,c{d}efgh', "with space 1"):
        assert service.call("GET", "//health", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_origins_are_allowed_by_name(make_edge: Callable[..., Edge], method: str) -> None:
    """An origin of the list may read answers; another one gets no such header."""
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
        answer = service.call(method, "/files", headers={"Origin": origin, **preflight})
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers["vary"]


def test_without_origins_there_is_no_cors(service: Edge) -> None:
    """By default no page of another origin may read anything."""
    answer = service.call("GET", "//health", headers={"Origin": "https://files.example.org"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_origin_is_allowed_by_a_star(make_edge: Callable[..., Edge]) -> None:
    """A star allows everyone, and never with credentials."""
    answer = make_edge(ALLOWED_ORIGINS="*").call("GET", "//health", headers={"Origin": "https://anyone.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


# --- documentation ------------------------------------------------------------------------------


def served(service: Edge) -> set[tuple[str, str]]:
    app: Any = service.client.app
    found: set[tuple[str, str]] = set()

    def walk(nodes: Any) -> None:
        for node in nodes:
            if node.resource is not None:
                for method in node.method_map:
                    if hasattr(node.resource, f"on_{method.lower()}"):
                        found.add((method.lower(), node.uri_template))
            walk(node.children)

    walk(app._router._roots)
    return found


def test_every_route_is_documented_and_every_document_is_served(service: Edge) -> None:
    """The OpenAPI document and the routes say the same."""
    document = service.call("GET", "//openapi.json").json
    documented = {(method, path) for path, methods in document["paths"].items() for method in methods}
    names = ("/docs", "/redoc", "/openapi.json", "/static/{name}")
    pages = {(method, path) for method in ("get", "head") for path in names}
    assert documented == {(method, path) for method, path in served(service) if path} - pages


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    if isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_of_the_document_resolves(service: Edge) -> None:
    """No schema and no answer is named that is not there."""
    document = service.call("GET", "//openapi.json").json
    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node


def test_answers_have_the_fields_of_their_schema(service: Edge, token: str) -> None:
    """What the document requires of a user and a file is what they have."""
    schemas = service.call("GET", "//openapi.json").json["components"]["schemas"]
    assert set(schemas["User"]["required"]) == set(service.call("GET", "/auth/me", token=token).json)
    assert set(schemas["File"]["required"]) == set(service.store(token, b"x"))


def test_the_documentation_pages_use_our_own_files_only(service: Edge) -> None:
    """Every script and style of a page comes from this service, and its policy allows no other."""
    for page in ("//docs", "//redoc"):
        answer = service.call("GET", page)
        sources = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert all(source.startswith(("/static/", "data:,")) for source in sources)
        for source in sources:
            if source.startswith("/static/"):
                assert service.call("GET", "/" + source).status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "http" not in policy


def all_codes() -> set[str]:
    def below(kind: type[SftError]) -> Iterator[type[SftError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    codes = {kind.code for kind in below(SftError) if kind.__module__.startswith("sft_")}
    own = {code for code, _ in worker._DETAILS.values()} | set(problems._OWN_CODES.values())
    refusals = {code for code, _ in downloads._REFUSALS.values()}
    return codes | own | refusals | {"internal-error", "request-refused"}


def test_every_code_is_documented() -> None:
    """The table of problems names each code once, with the status it has."""
    table = (ROOT / "docs/reference/http-api.md").read_text()
    documented = re.findall(r"^\| `([a-z-]+)` \| ([0-9x, ]+) \|", table, flags=re.MULTILINE)
    assert sorted(code for code, _ in documented) == sorted(all_codes())
    statuses = dict(documented)
    for kind, status in problems.STATUS.items():
        assert str(status) in statuses[kind.code] or kind is errors.NotAuthenticated


def test_the_document_names_the_problems_of_each_call() -> None:
    """Every call that asks for a login can be refused, and says so."""
    for call in openapi.CALLS:
        assert call.tag in {"sign-in", "links"} or "401" in call.problems.split()


# --- the log ------------------------------------------------------------------------------------


def test_one_line_a_request_and_no_secret_in_it(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens of links, of logins, passwords and query values stay out of the log."""
    caplog.set_level(logging.INFO, logger="sft.access")
    file = service.store(token, b"x", is_public="true")
    caplog.clear()
    service.call("GET", f"/files/shared/{file['share_token']}", query="canary-in-query=1")
    service.call("GET", f"/nowhere/{file['share_token']}")
    service.call("POST", "/auth/login", body={"email": "canary-mail@example.org", "password": "canary-password"})
    service.call("GET", "/files", token=token)
    records = [record for record in caplog.records if record.name == "sft.access"]
    lines = [json.loads(JsonFormatter().format(record)) for record in records]
    assert [line["status"] for line in lines] == [200, 404, 401, 200]
    assert lines[0]["route"] == f"{API}/files/shared/{{token}}"
    assert lines[3]["user"]
    text = json.dumps(lines)
    for secret in (file["share_token"], token, "canary"):
        assert secret not in text


def test_a_line_survives_whatever_is_logged() -> None:
    """Line breaks and quotes in a message cannot forge a second line."""
    record = logging.LogRecord("sft", logging.INFO, "", 0, 'first\n{"level": "error"}', None, None)
    assert len(JsonFormatter().format(record).splitlines()) == 1
    assert edge_module.access_log.name == "sft.access"


def test_an_uploads_own_problems_name_no_content(service: Edge, token: str) -> None:
    """A refusal repeats neither the file's name nor its bytes."""
    answer = service.upload(token, file_part(b"canary-content", "../canary-name") + END)
    assert answer.status_code == 422
    assert "canary" not in answer.text
