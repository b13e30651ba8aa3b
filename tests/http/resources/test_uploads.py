"""
Accepted uploads: names, types, fields and content are returned as they were sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.message import Message
from urllib.parse import unquote

import pytest

from support.app.edge import END, Edge, field_part, file_part, part


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


OWNER_TYPES = [".pdf", ".doc", ".docx", ".xls", ".xlsx", ".txt", ".jpg", ".png", ".zip"]
NAMES = [
    "plain.txt",
    'a"b.txt',
    "apostro'phe.txt",
    "naïve – 文件.txt",
    "%41.txt",
    "semi;colon.txt",
    "comma,name.txt",
    "percent%.txt",
    "emoji 🗂️.zip",
    "क्षत्रिय.txt",
    "a" * 255,
    "文" * 255,
    "...dots",
    ".hidden",
    "con-fidential.txt",
]


def name_of(disposition: str) -> str:
    """
    The file name as parsed by the standard library (RFC 2231).
    """
    message = Message()
    message["Content-Disposition"] = disposition
    return str(message.get_filename())


def extended_name_of(disposition: str) -> str:
    """
    The file name as parsed from the extended parameter only (RFC 8187).
    """
    match = re.search(r"filename\*=UTF-8''([A-Za-z0-9!#$&+\-.^_`|~%]+)$", disposition)
    assert match is not None
    return unquote(match[1], errors="strict")


@pytest.mark.parametrize("name", NAMES)
def test_file_name_is_returned_unchanged(service: Edge, token: str, name: str) -> None:
    """A valid name of any script is kept, and two parsers read it from the header of the download."""
    response = service.upload(token, file_part(b"x", name.replace('"', "%22")) + END)
    assert response.status_code == 201, response.text
    assert response.json["filename"] == response.json["original_filename"] == name
    header = service.call("HEAD", f"/files/{response.json['id']}/download", token=token).headers["content-disposition"]
    assert header.isascii()
    assert re.match(r'attachment; filename="[^"\\\r\n]*"; filename\*=', header)
    assert extended_name_of(header) == name
    assert name_of(header.replace(header[12 : header.index("filename*")], "")) == name


def test_extended_file_name_has_precedence(service: Edge, token: str) -> None:
    """`filename*` is used if both parameters are given (RFC 6266, section 4.3)."""
    both = b'form-data; name="file"; filename="fallback.txt"; filename*=utf-8\'en\'%e6%96%87.txt'
    assert service.upload(token, part(both, b"x") + END).json["filename"] == "文.txt"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"application/pdf", "application/pdf"),
        (b"Text/HTML; charset=utf-8", "text/html"),
        (b"nonsense", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"a/" + b"b" * 200, "application/octet-stream"),
    ],
)
def test_media_type_is_kept_without_parameters(service: Edge, token: str, given: bytes, kept: str) -> None:
    """A malformed type becomes application/octet-stream, and no type is rendered as a page."""
    form = part(b'form-data; name="file"; filename="f"', b"x", more=b"Content-Type: " + given + b"\r\n") + END
    file = service.upload(token, form).json
    assert file["mime_type"] == kept
    headers = service.call("GET", f"/files/{file['id']}/download", token=token).headers
    assert headers["content-type"] == kept
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-security-policy"].startswith("sandbox")
    assert headers["x-content-type-options"] == "nosniff"


FILE = file_part(b"content")


def test_fields_may_precede_or_follow_the_file_or_be_in_the_query(service: Edge, token: str) -> None:
    """The position of a field does not change its effect."""
    public, budget = field_part("is_public", "true"), field_part("max_downloads", "3")
    for form, query in (
        (public + budget + FILE + END, ""),
        (FILE + public + budget + END, ""),
        (FILE + END, "is_public=1&max_downloads=3"),
    ):
        file = service.upload(token, form, query=query).json
        assert (file["is_public"], file["max_downloads"]) == (True, 3)


def test_share_terms_of_a_private_upload_apply_to_its_next_link(service: Edge, token: str) -> None:
    """A link that is later created without terms has the terms of the upload."""
    file = service.store(token, b"x", max_downloads="2", share_expires_hours="5")
    assert (file["is_public"], file["max_downloads"]) == (False, 2)
    shared = service.call("POST", f"/files/{file['id']}/share", token=token).json
    assert shared["expires_at"] == "2026-01-01T05:00:00Z"
    assert service.call("GET", f"/files/{file['id']}", token=token).json["max_downloads"] == 2


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"epilogue\r\nof some lines\r\n"])
def test_epilogue_is_ignored(service: Edge, token: str, epilogue: bytes) -> None:
    """Bytes after the closing boundary are not part of the form (RFC 2046, section 5.1.1)."""
    assert service.upload(token, b"prologue\r\n" + FILE + b"--b--" + epilogue).status_code == 201


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_000])
def test_file_of_any_size_is_returned_unchanged(service: Edge, token: str, size: int) -> None:
    """Sizes around the limits of chunks and parts, and the empty file, are stored and downloaded."""
    content = bytes(index * 7 % 251 for index in range(size))
    file = service.store(token, content)
    assert file["file_size"] == size
    response = service.call("GET", f"/files/{file['id']}/download", token=token)
    assert response.content == content
    assert response.headers["content-length"] == str(size)


def test_size_limit_is_exact(make_edge: Callable[..., Edge]) -> None:
    """A file of exactly the limit is accepted; one byte more is 413 and leaves nothing."""
    service = make_edge(MAX_FILE_SIZE="100000")
    token = service.sign_up()
    over = service.upload(token, file_part(bytes(100_001)) + END)
    assert (over.status_code, over.json["code"]) == (413, "file-too-large")
    assert service.is_empty()
    assert service.store(token, bytes(100_000))["file_size"] == 100_000


@pytest.mark.parametrize("name", [*[f"a{kind}" for kind in OWNER_TYPES], "a.PDF", "a.Docx", "a.tar.zip"])
def test_allowed_extension_is_accepted(make_edge: Callable[..., Edge], name: str) -> None:
    """The last suffix decides, in any case."""
    service = make_edge(ALLOWED_EXTENSIONS=",".join(OWNER_TYPES))
    assert service.store(service.sign_up(), b"x", name)["filename"] == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.exe", ".exe"),
        ("a.pdf.exe", ".exe"),
        ("a.PHP", ".php"),
        ("a.txt~", ".txt~"),
        ("pdf", "(none)"),
        (".pdf", "(none)"),
    ],
)
def test_other_extension_is_refused_by_name(make_edge: Callable[..., Edge], name: str, shown: str) -> None:
    """The error names the extension, and nothing is stored."""
    service = make_edge(ALLOWED_EXTENSIONS=",".join(OWNER_TYPES))
    response = service.upload(service.sign_up(), file_part(b"x", name) + END)
    assert (response.status_code, response.json["code"]) == (400, "file-type-not-allowed")
    assert response.json["detail"] == f"File type {shown} not allowed"
    assert service.is_empty()


def test_body_with_a_content_encoding_is_stored_unchanged(service: Edge, token: str) -> None:
    """A body with a Content-Encoding is not decompressed."""
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    response = service.call("POST", "/files/upload", token=token, headers=headers, raw=FILE + END)
    assert response.json["file_size"] == len(b"content")
