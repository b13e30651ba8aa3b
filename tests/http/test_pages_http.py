"""
The service's own pages, and whether its description of itself is true.
"""

from __future__ import annotations

from typing import Any

import pytest

from sft_http import problems
from sft_http.openapi import CALLS, ROOT_CALLS
from support.edge import API, END, PASSWORD, Edge, file_part

PAGES = ["/", "/health", "/docs", "/redoc", "/openapi.json", "/static/redoc.standalone.js"]


@pytest.mark.parametrize("path", PAGES)
def test_head_of_a_page_is_its_get_without_the_body(service: Edge, path: str) -> None:
    """HEAD answers with GET's status and headers, its length among them (RFC 9110, section 9.3.2)."""
    got, looked = service.call("GET", "/" + path), service.call("HEAD", "/" + path)
    assert (got.status_code, looked.status_code) == (200, 200)
    assert looked.content == b""
    same = {"x-request-id": ""}
    assert {**looked.headers, **same} == {**got.headers, **same}
    assert got.headers["content-length"] == str(len(got.content))


def test_what_pages_are_made_of_is_sent_once(service: Edge) -> None:
    """A browser keeps scripts and styles, asks by their tag, and gets them again only if they changed."""
    path = "//static/swagger-ui-bundle.js"
    first = service.call("GET", path)
    assert first.headers["cache-control"].startswith("public, max-age=")
    again = service.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert service.call("GET", path, headers={"If-None-Match": '"another"'}).content == first.content
    assert service.call("GET", "//static/redoc.js").headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("name", ["", "nothing.js", "..", "DOCS.JS", "docs", "docs.html~", "%2e%2e%2fapp.py", "é.js"])
def test_no_other_file_is_served(service: Edge, name: str) -> None:
    """What is not one of the pages' files is 404, wherever its name points."""
    answer = service.call("GET", f"//static/{name}")
    assert (answer.status_code, answer.json["code"]) == (404, "route-not-found")


# --- the description --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(service: Edge) -> Any:
    return service.call("GET", "//openapi.json").json


def operations(document: Any) -> dict[tuple[str, str], Any]:
    return {(method, path): found for path, methods in document["paths"].items() for method, found in methods.items()}


def test_every_operation_has_a_name_of_its_own_and_lists_its_problems(document: Any) -> None:
    """Operation ids are unique; each operation may fail by our fault, and every other problem has a known status."""
    found = operations(document)
    assert len({operation["operationId"] for operation in found.values()}) == len(found) == len(CALLS + ROOT_CALLS)
    known = {str(status) for status in problems.STATUS.values()} | {"412", "416"}
    for operation in found.values():
        refusals = {status for status, answer in operation["responses"].items() if "$ref" in answer}
        assert "500" in refusals
        assert refusals <= known


def test_parameters_of_paths_are_described(document: Any) -> None:
    """Each `{name}` of a path is a required parameter, and no other one is."""
    for (_, path), operation in operations(document).items():
        described = {one["name"] for one in operation["parameters"] if one["in"] == "path" and one["required"]}
        assert described == {step[1:-1] for step in path.split("/") if step.startswith("{")}


def bounds(schema: Any) -> list[tuple[int, bool]]:
    low, high = schema["minimum"], schema["maximum"]
    return [(low, True), (high, True), (low - 1, False), (high + 1, False)]


def test_bounds_of_queries_are_those_that_hold(service: Edge, token: str, document: Any) -> None:
    """For each whole number in a query, the described bounds are taken and their neighbours are refused."""
    checked = 0
    for (method, path), operation in operations(document).items():
        for parameter in operation["parameters"]:
            if parameter["in"] != "query" or parameter["schema"]["type"] != "integer":
                continue
            for value, allowed in bounds(parameter["schema"]):
                query = f"{parameter['name']}={value}"
                if path.endswith("/upload"):
                    answer = service.upload(token, file_part(b"x") + END, query=query)
                else:
                    answer = service.call(method.upper(), path.removeprefix(API), token=token, query=query)
                assert answer.status_code == ({True: 201 if method == "post" else 200, False: 422}[allowed]), query
                checked += 1
    assert checked == 24


def test_bounds_of_a_links_terms_are_those_that_hold(service: Edge, token: str, document: Any) -> None:
    """The same for the JSON body of a share."""
    file = service.store(token, b"x")
    properties = document["components"]["schemas"]["Share"]["properties"]
    for name, schema in properties.items():
        for value, allowed in bounds(schema):
            answer = service.call("POST", f"/files/{file['id']}/share", token=token, body={name: value})
            assert answer.status_code == (200 if allowed else 422), (name, value)


@pytest.mark.parametrize(
    ("name", "length", "allowed"),
    [("username", "minLength", True), ("username", "maxLength", True), ("password", "minLength", True)],
)
def test_lengths_of_a_registration_are_those_that_hold(
    service: Edge, document: Any, name: str, length: str, *, allowed: bool
) -> None:
    """A name or password of exactly the described length is taken, one beyond it is not."""
    schema = document["components"]["schemas"]["Registration"]["properties"][name]
    beyond = -1 if length == "minLength" else 1
    for size, expected in ((schema[length], 201 if allowed else 422), (schema[length] + beyond, 422)):
        body = {"email": f"{name}{length}{size}@example.org", "username": f"{length}{size}", "password": PASSWORD}
        body[name] = f"{name[0]}{length[1]}" + "x" * (size - 2)
        assert service.call("POST", "/auth/register", body=body).status_code == expected


def test_what_answers_is_described(service: Edge, token: str, document: Any) -> None:
    """The statuses of a spread of good and bad requests are all among those that the document lists."""
    file = service.store(token, b"x")
    path = f"/files/{file['id']}"
    seen = [
        ("get", "/files", service.call("GET", "/files", token=token, query="limit=0")),
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
    for method, template, answer in seen:
        described = found[method, API + template]["responses"]
        assert str(answer.status_code) in described, (method, template, answer.status_code)
