"""
Content-Disposition headers, `sft_http.headers.content_disposition`, with the names that clients send.
"""

from __future__ import annotations

import re
import urllib.parse
from email.message import Message
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sft_core.errors import InvalidValue
from sft_core.values import FileName
from sft_http.headers.content_disposition import attachment, file_name, parameters


@st.composite
def names(draw: st.DrawFn) -> FileName:
    """
    Names that `FileName` accepts.
    """
    text = draw(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40))
    try:
        return FileName.parse(text)
    except InvalidValue:
        assume(condition=False)
        raise


@given(name=names())
def test_every_name_survives_the_header_of_its_download(name: FileName) -> None:
    """Two independent parsers read the same name, and no name can start another header."""
    header = attachment(name)
    assert re.fullmatch(r"[\x20-\x7e]+", header)
    first, extended = re.fullmatch(r'attachment; filename="([^"\\]*)"; filename\*=UTF-8\'\'(.*)', header).groups()  # type: ignore[union-attr]  # or it fails
    assert len(first) == len(name.value)
    assert urllib.parse.unquote(extended, errors="strict") == name.value
    message = Message()
    message["Content-Disposition"] = f"attachment; filename*=UTF-8''{extended}"
    assert message.get_filename() == name.value


def as_browsers_write(name: str) -> bytes:
    """
    A part's header as browsers write it (WHATWG HTML, multipart/form-data): only quotes are escaped.
    """
    return b'form-data; name="file"; filename="' + name.encode().replace(b'"', b"%22") + b'"'


def as_curl_writes(name: str) -> bytes:
    """
    A part's header as older releases of curl write it: quotes and backslashes after a backslash.
    """
    escaped = name.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'form-data; name="file"; filename="' + escaped + b'"'


def as_rfc_8187_writes(name: str) -> bytes:
    """
    The extended parameter, beside a plain name that differs.
    """
    extended = urllib.parse.quote(name, safe="")
    return b"form-data; name=file; filename=\"other\"; filename*=UTF-8''" + extended.encode()


@pytest.mark.parametrize("write", [as_browsers_write, as_curl_writes, as_rfc_8187_writes])
@given(name=names())
def test_every_name_survives_the_header_of_its_upload(write: Any, name: FileName) -> None:
    """A valid name is read unchanged, however a client writes it into a form."""
    assume(not re.search(r"%(22|0D|0A)", name.value, flags=re.IGNORECASE))
    found = parameters(write(name.value))
    assert (found["name"], file_name(found)) == ("file", name.value)


@given(header=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode(errors="replace"))))
def test_arbitrary_bytes_are_parameters_or_invalid(header: bytes) -> None:
    """The parser returns valid parameters or raises InvalidValue, and no other error."""
    try:
        found = parameters(b"form-data" + header)
        assert file_name(found) is None or isinstance(file_name(found), str)
    except InvalidValue:
        return
    assert all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) for name in found)


@pytest.mark.parametrize("filling", [b" ", b";", b"=", b"\\", b'"', b"; a=", b';a="', b'\\"', b"%22", b"'"])
@pytest.mark.timeout(5)
def test_long_header_is_parsed_in_linear_time(filling: bytes) -> None:
    """Eight kilobytes that are made to cause backtracking are parsed within the time limit."""
    for start in (b"form-data; name=", b'form-data; filename="', b"form-data; filename*=UTF-8''", b"form-data"):
        try:
            file_name(parameters(start + filling * (8192 // len(filling))))
        except InvalidValue:
            continue
