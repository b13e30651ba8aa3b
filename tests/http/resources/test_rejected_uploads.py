"""
Rejected uploads: invalid names, forms and sizes leave nothing stored.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.app.edge import END, Edge, field_part, file_part, part

FILE = file_part(b"content")


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


@pytest.mark.parametrize(
    "disposition",
    [
        b'form-data; name="file"; filename="../x"',
        b'form-data; name="file"; filename="a/b"',
        b'form-data; name="file"; filename="a\\b\\c"',
        b'form-data; name="file"; filename="a%0D%0ASet-Cookie: x=1"',
        b'form-data; name="file"; filename="a\x00b"',
        b'form-data; name="file"; filename="a\x1bb"',
        b'form-data; name="file"; filename="a\xc2\x85b"',
        'form-data; name="file"; filename="a\u202egpj.exe"'.encode(),
        'form-data; name="file"; filename="\u2060"'.encode(),
        'form-data; name="file"; filename="a\ufffe.txt"'.encode(),
        'form-data; name="file"; filename="a\u2066b"'.encode(),
        'form-data; name="file"; filename="a\u2028b"'.encode(),
        b'form-data; name="file"; filename=""',
        b'form-data; name="file"; filename="."',
        b'form-data; name="file"; filename=".."',
        b'form-data; name="file"; filename="CON"',
        b'form-data; name="file"; filename="nul.txt"',
        'form-data; name="file"; filename="COM¹.log"'.encode(),
        b'form-data; name="file"; filename="trailing."',
        b'form-data; name="file"; filename=" lead"',
        b'form-data; name="file"; filename="' + b"a" * 256 + b'"',
        b"form-data; name=\"file\"; filename*=UTF-8''..%2Fx",
        b"form-data; name=\"file\"; filename*=UTF-8''%FF",
        b"form-data; name=\"file\"; filename*=KOI8-R''x",
        b"form-data; name=\"file\"; filename*=UTF-8''%ED%A0%80",
        b'form-data; name="file"; filename="\xff\xfe"',
        b'form-data; name="file"; filename="a"; filename="b"',
        b'form-data; name="file"; filename="unclosed',
        b'attachment; name="file"; filename="a"',
        b"form-data",
    ],
)
def test_invalid_name_is_rejected_and_leaves_nothing(service: Edge, token: str, disposition: bytes) -> None:
    """A name that breaks a rule, or a malformed header, is 400 or 422; nothing is stored."""
    response = service.upload(token, part(disposition, b"content") + END)
    assert response.status_code in {400, 422}, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["code"] in {"invalid-file-name", "invalid-value", "malformed-request"}
    assert service.is_empty()


@pytest.mark.parametrize(
    ("form", "faulty"),
    [
        (END, "file"),
        (field_part("is_public", "true") + END, "file"),
        (FILE + FILE + END, "file"),
        (part(b'form-data; name="file"', b"no file name") + END, "file"),
        (FILE + part(b'form-data; name="other"; filename="x"', b"x") + END, "form"),
        (FILE + field_part("surprise", "x") + END, "form"),
        (FILE + part(b'form-data; name="is_public"; filename="x"', b"true") + END, "form"),
        (FILE + field_part("is_public", "perhaps") + END, "is_public"),
        (FILE + field_part("is_public", "true") * 2 + END, "is_public"),
        (FILE + field_part("is_public", "") + END, "is_public"),
        (FILE + field_part("max_downloads", "0") + END, "max_downloads"),
        (FILE + field_part("max_downloads", "1.5") + END, "max_downloads"),
        (FILE + field_part("max_downloads", "-1") + END, "max_downloads"),
        (FILE + field_part("max_downloads", "many") + END, "max_downloads"),
        (FILE + field_part("max_downloads", "٣") + END, "max_downloads"),
        (FILE + field_part("max_downloads", "9" * 300) + END, "max_downloads"),
        (FILE + field_part("max_downloads", str(2**31)) + END, "max_downloads"),
        (field_part("share_expires_hours", "721") + FILE + END, "share_expires_hours"),
        (field_part("share_expires_hours", "-1") + FILE + END, "share_expires_hours"),
    ],
)
def test_invalid_form_is_rejected_and_leaves_nothing(service: Edge, token: str, form: bytes, faulty: str) -> None:
    """A form without its file, with extra parts or with a wrong field is 422 and stores nothing."""
    response = service.upload(token, form)
    assert response.status_code == 422, response.text
    assert {error["path"] for error in response.json["errors"]} == {faulty}
    assert service.is_empty()


@pytest.mark.parametrize(
    "query",
    [
        "is_public=maybe",
        "max_downloads=x",
        "max_downloads=0",
        "max_downloads=-1",
        "is_public=true&is_public=true",
        "share_expires_hours=0",
        "share_expires_hours=721",
    ],
)
def test_invalid_query_field_is_rejected(service: Edge, token: str, query: str) -> None:
    """Fields in the query obey the same rules as in the form."""
    assert service.upload(token, FILE + END, query=query).status_code == 422
    assert service.is_empty()


def test_field_in_both_query_and_form_is_rejected(service: Edge, token: str) -> None:
    """Two values of one field are ambiguous, so the request is 422."""
    assert (
        service.upload(token, FILE + field_part("is_public", "true") + END, query="is_public=true").status_code == 422
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 71,
        "multipart/mixed; boundary=b",
        "application/json",
        "text/plain",
        "",
    ],
)
def test_body_that_is_no_form_is_rejected(service: Edge, token: str, content_type: str) -> None:
    """Another media type is 415, a form without a usable boundary is 400."""
    response = service.call(
        "POST", "/files/upload", token=token, raw=FILE + END, headers={"Content-Type": content_type}
    )
    assert response.status_code in {400, 415}, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert service.is_empty()


@pytest.mark.parametrize(
    "form",
    [
        field_part("surprise", "x") * 10_000,
        b"--b\r\n" + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
        part(b'form-data;name="file";filename="tight"', b"x")[:-2].replace(b": ", b":"),
        b"--b\r\n\r\nno headers\r\n",
        b"\r\n" * 50_000,
        b"no boundary at all",
    ],
)
def test_abusive_form_is_rejected(service: Edge, token: str, form: bytes) -> None:
    """Thousands of parts, oversized headers and malformed bodies are 400 or 422."""
    response = service.upload(token, form + END)
    assert response.status_code in {400, 422}, response.text
    assert service.is_empty()


def test_content_length_over_the_limit_is_rejected_unparsed(make_edge: Callable[..., Edge]) -> None:
    """If the announced length cannot fit, the form is not parsed."""
    service = make_edge(MAX_FILE_SIZE="1000")
    response = service.upload(service.sign_up(), b"x" * 200_000)
    assert (response.status_code, response.json["code"]) == (413, "file-too-large")
