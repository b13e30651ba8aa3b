"""
Uploads that are refused: names, forms and sizes that break a rule; nothing is left of any of them.
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
def test_bad_names_are_refused_and_leave_nothing(service: Edge, token: str, disposition: bytes) -> None:
    """A name that breaks its rule, or a header that is none, is 4xx; nothing is stored."""
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
        (FILE + field_part("max_downloads", "٣") + END, "max_downloads"),
        (FILE + field_part("max_downloads", "9" * 300) + END, "max_downloads"),
        (FILE + field_part("max_downloads", str(2**31)) + END, "max_downloads"),
        (field_part("share_expires_hours", "721") + FILE + END, "share_expires_hours"),
        (field_part("share_expires_hours", "-1") + FILE + END, "share_expires_hours"),
    ],
)
def test_wrong_forms_are_named_and_leave_nothing(service: Edge, token: str, form: bytes, faulty: str) -> None:
    """A form without its file, with too much, or with a wrong field is 422 and stores nothing."""
    response = service.upload(token, form)
    assert response.status_code == 422, response.text
    assert {error["path"] for error in response.json["errors"]} == {faulty}
    assert service.is_empty()


@pytest.mark.parametrize(
    "query", ["is_public=maybe", "max_downloads=x", "is_public=true&is_public=true", "share_expires_hours=0"]
)
def test_wrong_query_fields_are_refused(service: Edge, token: str, query: str) -> None:
    """Fields in the query obey the same rules as in the form."""
    assert service.upload(token, FILE + END, query=query).status_code == 422
    assert service.is_empty()


def test_a_field_in_query_and_form_is_refused(service: Edge, token: str) -> None:
    """Which of two values would count is not guessed."""
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
def test_what_is_no_form_is_refused(service: Edge, token: str, content_type: str) -> None:
    """Another media type is 415, a form without a usable boundary 400."""
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
def test_forms_made_to_hurt_are_refused(service: Edge, token: str, form: bytes) -> None:
    """Thousands of parts, endless headers and shapeless bodies end in a problem."""
    response = service.upload(token, form + END)
    assert response.status_code in {400, 422}, response.text
    assert service.is_empty()


def test_an_announced_size_over_the_limit_is_refused_unread(make_edge: Callable[..., Edge]) -> None:
    """Where the length says it cannot fit, the form is not even parsed."""
    service = make_edge(MAX_FILE_SIZE="1000")
    response = service.upload(service.sign_up(), b"x" * 200_000)
    assert (response.status_code, response.json["code"]) == (413, "file-too-large")
