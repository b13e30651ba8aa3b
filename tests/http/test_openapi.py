"""
The OpenAPI 3.1 document of the service, compared with the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from falcon.routing import map_http_methods

from sft_http import problems
from sft_http.app import described_routes
from support.app.edge import API, END, PASSWORD, Edge, file_part

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


@pytest.fixture(scope="module")
def document(service: Edge) -> Any:
    return service.call("GET", "//openapi.json").json


def operations(document: Any) -> dict[tuple[str, str], Any]:
    return {(method, path): found for path, methods in document["paths"].items() for method, found in methods.items()}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    if isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_of_the_document_resolves(document: Any) -> None:
    """Each `$ref` refers to a schema or response that exists."""
    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node


def test_responses_have_the_fields_of_their_schema(service: Edge, token: str, document: Any) -> None:
    """A user and a file have exactly the fields that the document requires."""
    schemas = document["components"]["schemas"]
    assert set(schemas["User"]["required"]) == set(service.call("GET", "/auth/me", token=token).json)
    assert set(schemas["File"]["required"]) == set(service.store(token, b"x"))


def test_every_responder_is_described(service: Edge, document: Any) -> None:
    """Each method of each route is documented, except OPTIONS and PUT of a file with the name `upload`."""
    found = set()
    for path, resource, suffix in described_routes(service.application, service.settings, service.pools):
        for method in map_http_methods(resource, suffix=suffix).keys() - {"OPTIONS"}:
            found.add((method.lower(), path + "/" * path.endswith("/files")))
    assert found - {("put", f"{API}/files/upload")} == set(operations(document))


def test_operation_with_authentication_lists_401(document: Any) -> None:
    """Every operation that requires a token lists the status 401."""
    for operation in operations(document).values():
        assert operation["tags"][0] in {"sign-in", "links", "service"} or "401" in operation["responses"]


def test_every_operation_has_a_unique_id_and_lists_its_problems(document: Any) -> None:
    """Each operation lists 500, and every other listed problem has a known status."""
    found = operations(document)
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    known = {str(status) for status in problems.STATUS.values()} | {"412", "416"}
    for operation in found.values():
        refusals = {status for status, response in operation["responses"].items() if "$ref" in response}
        assert "500" in refusals
        assert refusals <= known


def test_paths_are_spelt_as_in_the_reference(document: Any) -> None:
    """A generated client requests exactly the paths of `docs/reference/http-api.md`."""
    table = (ROOT / "docs/reference/http-api.md").read_text()
    written = set(re.findall(r"^\| [A-Z, or]+ `(/[^`]*)`", table, flags=re.MULTILINE))
    described = {path.removeprefix(API) for path in document["paths"]}
    assert described - {"/openapi.json"} <= written


def test_operation_with_a_body_lists_408(document: Any) -> None:
    """Exactly the operations that accept a body list the status 408."""
    found = operations(document).values()
    assert all(("408" in operation["responses"]) == ("requestBody" in operation) for operation in found)


def test_parameters_of_paths_are_listed(document: Any) -> None:
    """Each `{name}` of a path is a required path parameter, and no other name is."""
    for (_, path), operation in operations(document).items():
        described = {one["name"] for one in operation["parameters"] if one["in"] == "path" and one["required"]}
        assert described == {step[1:-1] for step in path.split("/") if step.startswith("{")}


def bounds(schema: Any) -> list[tuple[int, bool]]:
    low, high = schema["minimum"], schema["maximum"]
    return [(low, True), (high, True), (low - 1, False), (high + 1, False)]


def test_documented_bounds_of_queries_are_enforced(service: Edge, token: str, document: Any) -> None:
    """For each integer in a query the documented bounds are accepted, and the next values are 422."""
    checked = 0
    for (method, path), operation in operations(document).items():
        for parameter in operation["parameters"]:
            if parameter["in"] != "query" or parameter["schema"]["type"] != "integer":
                continue
            for value, allowed in bounds(parameter["schema"]):
                query = f"{parameter['name']}={value}"
                if path.endswith("/upload"):
                    response = service.upload(token, file_part(b"x") + END, query=query)
                else:
                    response = service.call(method.upper(), path.removeprefix(API), token=token, query=query)
                success = 201 if method in {"post", "put"} else 200
                assert response.status_code == (success if allowed else 422), query
                checked += 1
    assert checked == 32


def test_documented_bounds_of_share_terms_are_enforced(service: Edge, token: str, document: Any) -> None:
    """In the JSON body of a share the documented bounds are accepted, and the next values are 422."""
    file = service.store(token, b"x")
    properties = document["components"]["schemas"]["Share"]["properties"]
    for name, schema in properties.items():
        for value, allowed in bounds(schema):
            response = service.call("POST", f"/files/{file['id']}/share", token=token, body={name: value})
            assert response.status_code == (200 if allowed else 422), (name, value)


@pytest.mark.parametrize(
    ("name", "length", "allowed"),
    [("username", "minLength", True), ("username", "maxLength", True), ("password", "minLength", True)],
)
def test_documented_lengths_of_a_registration_are_enforced(
    service: Edge, document: Any, name: str, length: str, *, allowed: bool
) -> None:
    """A name or password of the documented length is accepted, one character beyond it is 422."""
    schema = document["components"]["schemas"]["Registration"]["properties"][name]
    beyond = -1 if length == "minLength" else 1
    for size, expected in ((schema[length], 201 if allowed else 422), (schema[length] + beyond, 422)):
        body = {"email": f"{name}{length}{size}@example.org", "username": f"{length}{size}", "password": PASSWORD}
        body[name] = f"{name[0]}{length[1]}" + "x" * (size - 2)
        assert service.call("POST", "/auth/register", body=body).status_code == expected


def test_statuses_of_responses_are_documented(service: Edge, token: str, document: Any) -> None:
    """The statuses of a range of valid and invalid requests are all listed in the document."""
    file = service.store(token, b"x")
    path = f"/files/{file['id']}"
    exchanges = [
        ("get", "/files/", service.call("GET", "/files/", token=token, query="limit=0")),
        ("get", "/files/{id}", service.call("GET", "/files/x", token=token)),
        ("get", "/files/{id}/download", service.call("GET", path + "/download", token=token)),
        *[
            (method, "/files/{id}/download", service.call(method, path + "/download", token=token, headers=headers))
            for method in ("get", "head")
            for headers in ({"If-None-Match": "*"}, {"If-Match": '"x"'}, {"Range": "bytes=0-0"}, {"Range": "bytes=9-"})
        ],
        ("post", "/files/{id}/share", service.call("POST", path + "/share", token=token, raw=b"{")),
        ("post", "/files/upload", service.upload(token, END)),
        ("post", "/auth/2fa/verify", service.call("POST", "/auth/2fa/verify", token=token, body={"totp_code": "1"})),
        ("get", "/files/shared/{token}", service.call("GET", "/files/shared/x")),
        ("delete", "/files/{id}", service.call("DELETE", path, token=token)),
    ]
    found = operations(document)
    for method, template, response in exchanges:
        described = found[method, API + template]["responses"]
        assert str(response.status_code) in described, (method, template, response.status_code)
