"""
Forms with a file: names, fields, cuts, limits; what is refused leaves nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.message import Message
from urllib.parse import unquote

import pytest

from support.edge import END, Edge, field_part, file_part, part

NAMES = [
    "plain.txt",
    'a"b.txt',
    "back\\slash".replace("\\", "'"),
    "naïve – 文件.txt",
    "%41.txt",
    "semi;colon.txt",
    "comma,name.txt",
    "percent%22.txt".replace("%22", "%"),
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
    The file name by the standard library's reader of parameters (RFC 2231).
    """
    message = Message()
    message["Content-Disposition"] = disposition
    return str(message.get_filename())


def extended_name_of(disposition: str) -> str:
    """
    The file name by a reader of our own, of the extended form only (RFC 8187).
    """
    match = re.search(r"filename\*=UTF-8''([A-Za-z0-9!#$&+\-.^_`|~%]+)$", disposition)
    assert match is not None
    return unquote(match[1], errors="strict")


def disposition_for(name: str) -> bytes:
    escaped = name.replace("%", "%25").replace('"', "%22") if "%" not in name else name.replace('"', "%22")
    return f'form-data; name="file"; filename="{escaped}"'.encode()


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back_as_they_were_given(service: Edge, token: str, name: str) -> None:
    """A good name of any script is kept, and two readers find it in the download's header."""
    answer = service.upload(token, part(disposition_for(name), b"x") + END)
    assert answer.status_code == 201, answer.text
    assert answer.json["filename"] == answer.json["original_filename"] == name
    header = service.call("HEAD", f"/files/{answer.json['id']}/download", token=token).headers["content-disposition"]
    assert header.isascii()
    assert re.match(r'attachment; filename="[^"\\\r\n]*"; filename\*=', header)
    assert extended_name_of(header) == name
    assert name_of(header.replace(header[12 : header.index("filename*")], "")) == name


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
    answer = service.upload(token, part(disposition, b"content") + END)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] in {"invalid-file-name", "invalid-value", "malformed-request"}
    assert service.is_empty()


def test_the_extended_name_wins(service: Edge, token: str) -> None:
    """`filename*` is the true name where both are given (RFC 6266, section 4.3)."""
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
def test_media_types_are_kept_without_parameters(service: Edge, token: str, given: bytes, kept: str) -> None:
    """A type that cannot be read becomes octet-stream; none is rendered as a page."""
    form = part(b'form-data; name="file"; filename="f"', b"x", more=b"Content-Type: " + given + b"\r\n") + END
    file = service.upload(token, form).json
    assert file["mime_type"] == kept
    headers = service.call("GET", f"/files/{file['id']}/download", token=token).headers
    assert headers["content-type"] == kept
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-security-policy"].startswith("sandbox")
    assert headers["x-content-type-options"] == "nosniff"


FILE = file_part(b"content")


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
    answer = service.upload(token, form)
    assert answer.status_code == 422, answer.text
    assert {error["path"] for error in answer.json["errors"]} == {faulty}
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


def test_fields_may_stand_before_behind_or_in_the_query(service: Edge, token: str) -> None:
    """Wherever the fields stand, they say the same."""
    public, budget = field_part("is_public", "true"), field_part("max_downloads", "3")
    for form, query in (
        (public + budget + FILE + END, ""),
        (FILE + public + budget + END, ""),
        (FILE + END, "is_public=1&max_downloads=3"),
    ):
        file = service.upload(token, form, query=query).json
        assert (file["is_public"], file["max_downloads"]) == (True, 3)


def test_terms_without_a_link_are_those_of_the_next_link(service: Edge, token: str) -> None:
    """Who uploads with a budget and shares later without one gets the budget."""
    file = service.store(token, b"x", max_downloads="2", share_expires_hours="5")
    assert (file["is_public"], file["max_downloads"]) == (False, 2)
    shared = service.call("POST", f"/files/{file['id']}/share", token=token).json
    assert shared["expires_at"] == "2026-01-01T05:00:00Z"
    assert service.call("GET", f"/files/{file['id']}", token=token).json["max_downloads"] == 2


WHOLE = field_part("is_public", "true") + FILE + END


@pytest.mark.parametrize("length", range(len(WHOLE) - 2))
def test_a_form_cut_before_its_end_is_refused(service: Edge, token: str, length: int) -> None:
    """Without its closing boundary a form is not complete, whatever its length says."""
    answer = service.upload(token, WHOLE[:length])
    assert answer.status_code in {400, 422}, answer.text
    assert service.is_empty()


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"epilogue\r\nof some lines\r\n"])
def test_an_epilogue_is_ignored(service: Edge, token: str, epilogue: bytes) -> None:
    """What follows the closing boundary is no part of the form (RFC 2046, section 5.1.1)."""
    assert service.upload(token, b"prologue\r\n" + FILE + b"--b--" + epilogue).status_code == 201


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
    answer = service.call("POST", "/files/upload", token=token, raw=FILE + END, headers={"Content-Type": content_type})
    assert answer.status_code in {400, 415}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
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
    answer = service.upload(token, form + END)
    assert answer.status_code in {400, 422}, answer.text
    assert service.is_empty()


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_000])
def test_files_of_any_size_come_back(service: Edge, token: str, size: int) -> None:
    """Sizes around chunks and parts, the empty file included, go up and come down."""
    content = bytes(index * 7 % 251 for index in range(size))
    file = service.store(token, content)
    assert file["file_size"] == size
    answer = service.call("GET", f"/files/{file['id']}/download", token=token)
    assert answer.content == content
    assert answer.headers["content-length"] == str(size)


def test_the_size_limit_is_exact(make_edge: Callable[..., Edge]) -> None:
    """A file of the limit is taken, one byte more is refused while it streams, and leaves nothing."""
    service = make_edge(MAX_FILE_SIZE="100000")
    token = service.sign_up()
    over = service.upload(token, file_part(bytes(100_001)) + END)
    assert (over.status_code, over.json["code"]) == (413, "file-too-large")
    assert service.is_empty()
    assert service.store(token, bytes(100_000))["file_size"] == 100_000


def test_an_announced_size_over_the_limit_is_refused_unread(make_edge: Callable[..., Edge]) -> None:
    """Where the length says it cannot fit, the form is not even parsed."""
    service = make_edge(MAX_FILE_SIZE="1000")
    answer = service.upload(service.sign_up(), b"x" * 200_000)
    assert (answer.status_code, answer.json["code"]) == (413, "file-too-large")


@pytest.mark.parametrize(
    ("name", "status"), [("a.PDF", 201), ("a.txt", 201), ("a.exe", 400), ("pdf", 400), ("a.pdf.exe", 400)]
)
def test_only_allowed_extensions_are_taken(make_edge: Callable[..., Edge], name: str, status: int) -> None:
    """The last suffix decides, in any case."""
    service = make_edge(ALLOWED_EXTENSIONS=".pdf,.txt")
    answer = service.upload(service.sign_up(), file_part(b"x", name) + END)
    assert answer.status_code == status
    if status == 400:
        assert answer.json["code"] == "file-type-not-allowed"
        assert re.fullmatch(r"File type .* not allowed", answer.json["detail"])
        assert service.is_empty()


def test_compressed_content_is_stored_as_it_is(service: Edge, token: str) -> None:
    """A body that claims a content coding is not unpacked."""
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    answer = service.call("POST", "/files/upload", token=token, headers=headers, raw=FILE + END)
    assert answer.json["file_size"] == len(b"content")
