"""
What the headers of tus 1.0.0 say (https://tus.io/protocols/resumable-upload), read strictly.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Final, Protocol

import attrs

from sft_core.errors import Fault, InvalidInput, InvalidValue
from sft_core.values import OCTET_STREAM, FileId, FileName, MediaType
from sft_core.vault.model import ShareTerms, UploadKind
from sft_core.vault.use_cases.resumable import UploadRequest
from sft_http.errors import MalformedRequest

VERSION: Final = "1.0.0"
EXTENSIONS: Final = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
)
ALGORITHMS: Final = ("sha1", "sha256", "sha512", "md5")
"""What a checksum may be made with. None of them protects from an attacker here: they find accidents."""

MEDIA_TYPE: Final = "application/offset+octet-stream"
MAX_METADATA: Final = 4096
"""How many characters of metadata are kept."""

_WHOLE: Final = re.compile(r"[0-9]{1,19}", flags=re.ASCII)
_KEY: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_PIECE_NAME: Final = FileName.parse("partial")


class Digest(Protocol):
    """
    Takes bytes as they come and tells their checksum.
    """

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """
        Take the next bytes.
        """
        ...

    def digest(self) -> bytes:
        """
        The checksum of what has been taken.
        """
        ...


@attrs.frozen
class Checksum:
    """
    What the bytes of one request must come to.
    """

    algorithm: str
    expected: bytes

    def begin(self) -> Digest:
        """
        Something to take the bytes with.
        """
        return hashlib.new(self.algorithm, usedforsecurity=False)


def whole(name: str, text: str | None) -> int | None:
    """
    A header that is a whole number of at most 63 bits; None if it is absent.
    """
    if text is None:
        return None
    if not _WHOLE.fullmatch(text) or int(text) >= 2**63:
        raise MalformedRequest(f"{name} must be a whole number.")
    return int(text)


def length_of(length: str | None, deferred: str | None) -> int | None:
    """
    The announced length; None if the client will say it later. Exactly one of the two headers must stand there.
    """
    if deferred is not None and deferred != "1":
        raise MalformedRequest("Upload-Defer-Length must be 1.")
    if (length is None) == (deferred is None):
        raise MalformedRequest("Send either Upload-Length or Upload-Defer-Length.")
    return whole("Upload-Length", length)


def checksum_of(text: str | None) -> Checksum | None:
    """
    The checksum that a request brings of its own body.
    """
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise MalformedRequest("Upload-Checksum names an algorithm that is not supported.")
    checksum = Checksum(algorithm, _decoded("Upload-Checksum", encoded))
    if len(checksum.expected) != len(checksum.begin().digest()):
        raise MalformedRequest("Upload-Checksum is not as long as its algorithm makes it.")
    return checksum


def concatenation_of(text: str | None, *, folder: str) -> tuple[UploadKind, tuple[FileId, ...]]:
    """
    What an upload becomes and, for a final one, of what: uploads in `folder`, by path or by whole URL.
    """
    if text is None:
        return UploadKind.WHOLE, ()
    if text == "partial":
        return UploadKind.PARTIAL, ()
    word, _, urls = text.partition(";")
    sources = []
    for url in urls.split():
        before, _, last = url.rpartition("/")
        if not before.endswith(folder):
            raise MalformedRequest("Upload-Concat names something that is no upload.")
        try:
            sources.append(FileId.parse(last))
        except InvalidInput:
            raise MalformedRequest("Upload-Concat names something that is no upload.") from None
    if word != "final" or not sources:
        raise MalformedRequest("Upload-Concat must be partial, or final with the uploads to put together.")
    return UploadKind.FINAL, tuple(sources)


def concatenation(kind: UploadKind, sources: tuple[FileId, ...], *, folder: str) -> str:
    """
    The header of what `concatenation_of` has read; empty for an upload that is neither.
    """
    if kind is UploadKind.FINAL:
        return "final;" + " ".join(f"{folder}/{source}" for source in sources)
    return "partial" if kind is UploadKind.PARTIAL else ""


def metadata_of(text: str | None) -> dict[str, str]:
    """
    The pairs of an Upload-Metadata header; a key without a value has an empty one.
    """
    found: dict[str, str] = {}
    if len(text or "") > MAX_METADATA:
        raise MalformedRequest(f"Upload-Metadata has more than {MAX_METADATA} characters.")
    if text is None or not text.strip():
        return found
    for pair in text.split(","):
        key, _, encoded = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise MalformedRequest("Upload-Metadata must be pairs of a key, which stands once, and a value in base64.")
        try:
            found[key] = _decoded("Upload-Metadata", encoded.strip(" ")).decode()
        except UnicodeDecodeError:
            raise MalformedRequest("Upload-Metadata holds a value that is not UTF-8.") from None
    return found


def asked(metadata: str | None, *, kind: UploadKind, length: int | None, sources: tuple[FileId, ...]) -> UploadRequest:
    """
    The upload that a creation asks for, named and shared as its metadata says.

    Other keys than `filename` (or `name`), `filetype` (or `type`), `is_public`, `max_downloads` and
    `expires_hours` are kept and mean nothing here. A partial upload needs no name.
    """
    found = metadata_of(metadata)
    given = found.get("filename", found.get("name"))
    if given is None and kind is not UploadKind.PARTIAL:
        raise InvalidValue("filename", "is missing from Upload-Metadata")
    try:
        media_type = MediaType.parse(found.get("filetype", found.get("type")))
    except InvalidInput:
        media_type = OCTET_STREAM
    return UploadRequest(
        name=_PIECE_NAME if kind is UploadKind.PARTIAL else FileName.parse(given),
        media_type=media_type,
        kind=kind,
        length=length,
        terms=ShareTerms(max_downloads=_number(found, "max_downloads"), expires_hours=_number(found, "expires_hours")),
        is_public=_truth(found, "is_public"),
        metadata=metadata or "",
        sources=sources,
    )


def _number(found: Mapping[str, str], name: str) -> int | None:
    text = found.get(name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text):
        raise InvalidInput(Fault(name, "must be a whole number"))
    return int(text)


def _truth(found: Mapping[str, str], name: str) -> bool:
    text = found.get(name, "false").lower()
    if text not in {"true", "1", "false", "0"}:
        raise InvalidInput(Fault(name, "must be true or false"))
    return text in {"true", "1"}


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedRequest(f"{name} holds something that is not base64.") from None
