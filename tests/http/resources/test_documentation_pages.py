"""
The service's own pages and their static files.
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
"""SHA-256 of the third-party files, as they were published."""


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.mark.parametrize("path", PAGES)
def test_head_of_a_page_equals_its_get_without_the_body(service: Edge, path: str) -> None:
    """HEAD returns the status and headers of GET, including the length (RFC 9110, section 9.3.2)."""
    got, looked = service.call("GET", "/" + path), service.call("HEAD", "/" + path)
    assert (got.status_code, looked.status_code) == (200, 200)
    assert looked.content == b""
    same = {"x-request-id": ""}
    assert {**looked.headers, **same} == {**got.headers, **same}
    assert got.headers["content-length"] == str(len(got.content))


def test_static_file_is_cached_and_revalidated(service: Edge) -> None:
    """A browser may cache scripts and styles, and gets them again only if their tag has changed."""
    path = "//static/swagger-ui-bundle.js"
    first = service.call("GET", path)
    assert first.headers["cache-control"].startswith("public, max-age=")
    again = service.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert service.call("GET", path, headers={"If-None-Match": '"another"'}).content == first.content
    assert service.call("GET", "//static/redoc.js").headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_third_party_file_is_served_as_published(service: Edge, name: str) -> None:
    """It is the same byte for byte, and the licence files that it mentions are served."""
    content = service.call("GET", f"//static/{name}").content
    assert hashlib.sha256(content).hexdigest() == PUBLISHED[name]
    for licence in set(re.findall(rb"license information please see ([\w.-]+\.LICENSE\.txt)", content)):
        assert service.call("GET", f"//static/{licence.decode()}").status_code == 200


@pytest.mark.parametrize("name", ["", "nothing.js", "..", "DOCS.JS", "docs", "docs.html~", "%2e%2e%2fapp.py", "é.js"])
def test_no_other_file_is_served(service: Edge, name: str) -> None:
    """A name that is not one of the static files is 404, wherever it points."""
    response = service.call("GET", f"//static/{name}")
    assert (response.status_code, response.json["code"]) == (404, "route-not-found")


def test_documentation_pages_use_local_files_only(service: Edge) -> None:
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
