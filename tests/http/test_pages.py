"""
The service's own pages, and what they are made of.
"""

from __future__ import annotations

import re

import pytest

from support.edge import Edge

PAGES = ["/", "/health", "/docs", "/redoc", "/openapi.json", "/static/redoc.standalone.js"]


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


@pytest.mark.parametrize("name", ["", "nothing.js", "..", "DOCS.JS", "docs", "docs.html~", "%2e%2e%2fapp.py", "é.js"])
def test_no_other_file_is_served(service: Edge, name: str) -> None:
    """What is not one of the pages' files is 404, wherever its name points."""
    answer = service.call("GET", f"//static/{name}")
    assert (answer.status_code, answer.json["code"]) == (404, "route-not-found")


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
