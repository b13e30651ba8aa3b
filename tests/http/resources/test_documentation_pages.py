"""
The service's own pages, and what they are made of.
"""

from __future__ import annotations

import hashlib
import re

import pytest

from support.app.edge import Edge

PAGES = ["/", "/health", "/docs", "/redoc", "/openapi.json", "/static/redoc.standalone.js"]


PUBLISHED = {
    # ReDoc 2.5.4, `bundles/` of the npm package redoc.
    "redoc.standalone.js": "dcaf76612bc4a3fbcc923a8966dee2f6146a5f32e5ce1b6f02dd60cbbf89500b",
    # Swagger UI 5.35.0, the npm package swagger-ui-dist.
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of what is not ours, as it was published."""


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


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


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_not_ours_is_served_as_it_was_published(service: Edge, name: str) -> None:
    """Byte for byte, and the licences that a bundle speaks of are beside it."""
    content = service.call("GET", f"//static/{name}").content
    assert hashlib.sha256(content).hexdigest() == PUBLISHED[name]
    for licence in set(re.findall(rb"license information please see ([\w.-]+\.LICENSE\.txt)", content)):
        assert service.call("GET", f"//static/{licence.decode()}").status_code == 200


@pytest.mark.parametrize("name", ["", "nothing.js", "..", "DOCS.JS", "docs", "docs.html~", "%2e%2e%2fapp.py", "é.js"])
def test_no_other_file_is_served(service: Edge, name: str) -> None:
    """What is not one of the pages' files is 404, wherever its name points."""
    response = service.call("GET", f"//static/{name}")
    assert (response.status_code, response.json["code"]) == (404, "route-not-found")


def test_the_documentation_pages_use_our_own_files_only(service: Edge) -> None:
    """Every script and style of a page comes from this service, and its policy allows no other."""
    for page in ("//docs", "//redoc"):
        response = service.call("GET", page)
        sources = re.findall(r'(?:src|href)="([^"]+)"', response.text)
        assert all(source.startswith(("/static/", "data:,")) for source in sources)
        for source in sources:
            if source.startswith("/static/"):
                assert service.call("GET", "/" + source).status_code == 200
        policy = response.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "http" not in policy
