"""
The edge's own readers and writers against everything: names in headers, JSON bodies.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from email.message import Message
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sft_core.errors import InvalidValue
from sft_core.values import FileName
from sft_http.bodies import parse
from sft_http.disposition import attachment, file_name, parameters
from sft_http.problems import MalformedRequest


@st.composite
def names(draw: st.DrawFn) -> FileName:
    """File names that their type takes."""
    text = draw(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40))
    try:
        return FileName.parse(text)
    except InvalidValue:
        assume(condition=False)
        raise


@given(name=names())
def test_every_name_survives_the_header_of_its_download(name: FileName) -> None:
    """Two independent readers find the same name in it, and no other header can be begun from inside it."""
    header = attachment(name)
    assert re.fullmatch(r"[\x20-\x7e]+", header)
    first, extended = re.fullmatch(r'attachment; filename="([^"\\]*)"; filename\*=UTF-8\'\'(.*)', header).groups()  # type: ignore[union-attr]
    assert len(first) == len(name.value)
    assert urllib.parse.unquote(extended, errors="strict") == name.value
    message = Message()
    message["Content-Disposition"] = f"attachment; filename*=UTF-8''{extended}"
    assert message.get_filename() == name.value


def as_browsers_write(name: str) -> bytes:
    """A part's header as browsers write it (WHATWG HTML, multipart/form-data): quotes escaped, nothing else."""
    return b'form-data; name="file"; filename="' + name.encode().replace(b'"', b"%22") + b'"'


def as_curl_writes(name: str) -> bytes:
    """A part's header as older releases of curl write it: quotes and backslashes behind a backslash."""
    escaped = name.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'form-data; name="file"; filename="' + escaped + b'"'


def as_rfc_8187_writes(name: str) -> bytes:
    """The extended form, beside a plain name that says something else."""
    extended = urllib.parse.quote(name, safe="")
    return b"form-data; name=file; filename=\"other\"; filename*=UTF-8''" + extended.encode()


@pytest.mark.parametrize("write", [as_browsers_write, as_curl_writes, as_rfc_8187_writes])
@given(name=names())
def test_every_name_survives_the_header_of_its_upload(write: Any, name: FileName) -> None:
    """However a client writes a good name into a form, it is read back as it is."""
    assume(not re.search(r"%(22|0D|0A)", name.value, flags=re.IGNORECASE))
    found = parameters(write(name.value))
    assert (found["name"], file_name(found)) == ("file", name.value)


@given(header=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode(errors="replace"))))
def test_any_bytes_are_parameters_or_invalid(header: bytes) -> None:
    """Whatever stands in a part's header is read or refused, and refused in one way."""
    try:
        found = parameters(b"form-data" + header)
        assert file_name(found) is None or isinstance(file_name(found), str)
    except InvalidValue:
        return
    assert all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) for name in found)


@pytest.mark.parametrize("filling", [b" ", b";", b"=", b"\\", b'"', b"; a=", b';a="', b'\\"', b"%22", b"'"])
@pytest.mark.timeout(5)
def test_long_headers_are_read_in_no_time(filling: bytes) -> None:
    """Eight kilobytes made to send a reader back and forth cost it nothing."""
    for start in (b"form-data; name=", b'form-data; filename="', b"form-data; filename*=UTF-8''", b"form-data"):
        try:
            file_name(parameters(start + filling * (8192 // len(filling))))
        except InvalidValue:
            continue


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**18), 10**18),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=15,
)


@given(body=st.dictionaries(st.text(max_size=5), values, max_size=5), ascii_only=st.booleans())
def test_every_object_is_read_as_it_was_written(body: dict[str, Any], *, ascii_only: bool) -> None:
    """What a strict writer says is what our reader hears."""
    text = json.dumps(body, ensure_ascii=ascii_only)
    assume(text.isascii() or "\\ud" not in text)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    assert parse(raw) == body


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_an_object_or_malformed(raw: bytes) -> None:
    """Whatever stands in a body is an object or malformed, never a fault of ours."""
    try:
        found = parse(raw)
    except MalformedRequest:
        return
    assert isinstance(found, dict)
    assert found == json.loads(raw)


@given(body=st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1), again=st.integers(0, 9))
def test_a_name_that_stands_twice_is_refused_at_any_depth(body: dict[str, int], again: int) -> None:
    """Of two values under one name, readers differ in which they take; so neither is taken."""
    name = next(iter(body))
    twice = json.dumps(body)[:-1] + f', "{name}": {again}}}'
    for raw in (twice, f'{{"x": {twice}}}', f'{{"x": [1, {twice}]}}'):
        with pytest.raises(MalformedRequest):
            parse(raw.encode())
