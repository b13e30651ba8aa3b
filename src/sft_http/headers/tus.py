"""
Header fields of tus 1.0.0 (https://tus.io/protocols/resumable-upload), parsed strictly.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from sft_core.errors import FieldError, InvalidInput, InvalidValue
from sft_core.values import OCTET_STREAM, FileId, FileName, MediaType
from sft_core.vault.model import ShareTerms, UploadKind
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases.resumable import UploadRequest
from sft_http.errors import ChecksumMismatch, MalformedRequest

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation"
ALGORITHMS: Final = ("sha1", "sha256", "sha512", "md5")
"""Checksum algorithms. They detect transmission errors; none of them protects against an attacker here."""

MEDIA_TYPE: Final = "application/offset+octet-stream"
MAX_METADATA: Final = 4096
"""The maximum length of Upload-Metadata, in characters."""

_WHOLE: Final = re.compile(r"[0-9]{1,19}", flags=re.ASCII)
_KEY: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_PARTIAL_NAME: Final = FileName.parse("partial")


@attrs.frozen
class Checksum:
    """
    The expected checksum of a request's body, and that of the bytes received so far.
    """

    expected: bytes
    _digest: Any = attrs.field(repr=False)

    def update(self, data: Buffer) -> None:
        """
        Add the next bytes of the body.
        """
        self._digest.update(data)

    def verify(self) -> None:
        """
        Raise `ChecksumMismatch` unless the bytes so far have the expected checksum.
        """
        if not hmac.compare_digest(self._digest.digest(), self.expected):
            raise ChecksumMismatch


def whole_number(name: str, text: str | None) -> int | None:
    """
    The whole number below 2^63 in a header; None if the header is absent.

    Raises `MalformedRequest` for any other text.
    """
    if text is None:
        return None
    if not _WHOLE.fullmatch(text) or int(text) >= 2**63:
        raise MalformedRequest(f"{name} must be a whole number from 0 to {2**63 - 1}.")
    return int(text)


def parse_checksum(text: str | None) -> Checksum | None:
    """
    The checksum in an Upload-Checksum header; None if the header is absent.

    Raises `MalformedRequest` if the algorithm is not supported, or the value is not a checksum of that algorithm.
    """
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise MalformedRequest(f"Upload-Checksum must use one of: {', '.join(ALGORITHMS)}.")
    expected, digest = _decoded("Upload-Checksum", encoded), hashlib.new(algorithm, usedforsecurity=False)
    if len(expected) != digest.digest_size:
        raise MalformedRequest("Upload-Checksum has the wrong length for its algorithm.")
    return Checksum(expected, digest)


def parse_concatenation(text: str | None, *, base_path: str) -> tuple[UploadKind, tuple[FileId, ...]]:
    """
    The upload's kind in Upload-Concat and, for a final upload, its partial uploads.

    Partial uploads are named by path or URL. Raises `MalformedRequest` if the header is malformed, or names a URL
    outside `base_path`.
    """
    if text is None:
        return UploadKind.WHOLE, ()
    if text == "partial":
        return UploadKind.PARTIAL, ()
    word, _, urls = text.partition(";")
    sources = []
    for url in urls.split():
        before, _, last = url.rpartition("/")
        try:
            sources.append(FileId.parse(last if before.endswith(base_path) else ""))
        except InvalidInput:
            raise MalformedRequest("Upload-Concat must name uploads of this service, by path or URL.") from None
    if word != "final" or not sources:
        raise MalformedRequest("Upload-Concat must be `partial`, or `final;` and the URLs of the partial uploads.")
    return UploadKind.FINAL, tuple(sources)


def format_concatenation(kind: UploadKind, sources: tuple[FileId, ...], *, base_path: str) -> str:
    """
    The Upload-Concat header of an upload, as `parse_concatenation` parses it; empty for a regular upload.
    """
    if kind is UploadKind.FINAL:
        return "final;" + " ".join(f"{base_path}/{source}" for source in sources)
    return "partial" if kind is UploadKind.PARTIAL else ""


def parse_metadata(text: str | None) -> dict[str, str]:
    """
    The pairs of an Upload-Metadata header; a key without a value has an empty one.

    Raises `MalformedRequest` if the header is malformed, has more than 4096 characters, or repeats a key.
    """
    found: dict[str, str] = {}
    if len(text or "") > MAX_METADATA:
        raise MalformedRequest(f"Upload-Metadata must have at most {MAX_METADATA} characters.")
    if text is None or not text.strip():
        return found
    for pair in text.split(","):
        key, _, encoded = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise MalformedRequest("Upload-Metadata must be pairs of a key and a base64 value, each key once.")
        try:
            found[key] = _decoded("Upload-Metadata", encoded.strip(" ")).decode()
        except UnicodeDecodeError:
            raise MalformedRequest("Upload-Metadata must contain only UTF-8 values.") from None
    return found


def upload_request(header: Callable[[str], str | None], *, base_path: str) -> UploadRequest:
    """
    The upload that a creation's headers describe, with the values of its metadata.

    The metadata's keys are `filename` (or `name`), `filetype` (or `type`), `is_public`, `max_downloads` and
    `expires_hours`; others are stored without effect. A partial upload needs no name.

    Raises:
        MalformedRequest: a header is malformed, or the length of a final upload is sent.
        InvalidInput: a value in the metadata is missing or invalid; it names the key.
    """
    kind, sources = parse_concatenation(header("Upload-Concat"), base_path=base_path)
    length, deferred = whole_number("Upload-Length", header("Upload-Length")), header("Upload-Defer-Length")
    if kind is UploadKind.FINAL and (length, deferred) != (None, None):
        raise MalformedRequest("The length of a final upload is that of the partial ones; leave it out.")
    if deferred not in {None, "1"}:
        raise MalformedRequest("Upload-Defer-Length must be 1.")
    if kind is not UploadKind.FINAL and (length is None) == (deferred is None):
        raise MalformedRequest("Send either Upload-Length or Upload-Defer-Length.")
    metadata = header("Upload-Metadata")
    found = parse_metadata(metadata)
    given = found.get("filename", found.get("name"))
    if given is None and kind is not UploadKind.PARTIAL:
        raise InvalidValue("filename", "is missing from Upload-Metadata")
    try:
        media_type = MediaType.parse(found.get("filetype", found.get("type")))
    except InvalidInput:
        media_type = OCTET_STREAM
    return UploadRequest(
        name=_PARTIAL_NAME if kind is UploadKind.PARTIAL else FileName.parse(given),
        media_type=media_type,
        kind=kind,
        length=length,
        terms=ShareTerms(max_downloads=_number(found, "max_downloads"), expires_hours=_number(found, "expires_hours")),
        is_public=_boolean(found, "is_public"),
        metadata=metadata or "",
        sources=sources,
    )


def _number(found: Mapping[str, str], name: str) -> int | None:
    text = found.get(name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text):
        raise InvalidInput(FieldError(name, "must be a whole number"))
    return int(text)


def _boolean(found: Mapping[str, str], name: str) -> bool:
    text = found.get(name, "false").lower()
    if text not in {"true", "1", "false", "0"}:
        raise InvalidInput(FieldError(name, "must be true or false"))
    return text in {"true", "1"}


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise MalformedRequest(f"{name} must be base64.") from None
