"""
Values that validate themselves: whoever holds one may rely on its rule.

What breaks a rule raises `InvalidValue` (or a subclass) with the field's name and a sentence.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import unicodedata
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import attrs

from sft_core.errors import InvalidFileName, InvalidValue

# --- identifiers -------------------------------------------------------------------------------


@attrs.frozen(order=True)
class Id:
    """
    An identifier: a UUID, version 7 when we made it (RFC 9562, section 5.7), opaque to callers.
    """

    value: UUID

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read the canonical spelling (36 characters, lower case, hyphens); refuse every other.
        """
        if isinstance(text, str) and len(text) == 36:
            try:
                value = UUID(text)
            except ValueError:
                value = None
            if value is not None and str(value) == text:
                return cls(value)
        raise InvalidValue("id", "not an identifier")

    @property
    def bytes(self) -> bytes:
        """
        The 16 bytes of the UUID, big-endian.
        """
        return self.value.bytes

    def __str__(self) -> str:
        return str(self.value)


class UserId(Id):
    """
    Names a user.
    """


class SessionId(Id):
    """
    Names a sign-in and the family of refresh tokens that descends from it.
    """


class FileId(Id):
    """
    Names a file.
    """


class LinkId(Id):
    """
    Names a share link.
    """


# --- secrets -----------------------------------------------------------------------------------


@attrs.frozen(eq=False, repr=False)
class Secret:
    """
    Bytes that must not leak: masked in `repr`, compared in constant time, read by `reveal` only.
    """

    _value: bytes = attrs.field(validator=attrs.validators.instance_of(bytes))

    def reveal(self) -> bytes:
        """
        Return the bytes; call it where they are used and nowhere else.
        """
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key: lookups leak by time

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


MIN_PASSWORD_CHARACTERS: Final = 8
MAX_PASSWORD_BYTES: Final = 1024


class Password(Secret):
    """
    A password: at least 8 characters and at most 1 024 bytes, exact in every byte after NFC.

    The one normalisation is Unicode NFC over UTF-8 (NIST SP 800-63B, section on memorized
    secrets): the same characters typed on two keyboards are the same password. Spaces, NULs and
    everything else count as they stand.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Build a password that a user chooses; `InvalidValue` says which bound it misses.
        """
        password = cls.claimed(text)
        if len(password.reveal().decode()) < MIN_PASSWORD_CHARACTERS:
            raise InvalidValue("password", f"must have at least {MIN_PASSWORD_CHARACTERS} characters")
        return password

    @classmethod
    def claimed(cls, text: object) -> Self:
        """
        Build a password that someone claims at sign-in: only what could never be hashed is refused.
        """
        if not isinstance(text, str):
            raise InvalidValue("password", "must be a string")
        if len(text) > MAX_PASSWORD_BYTES:
            raise InvalidValue("password", f"must have at most {MAX_PASSWORD_BYTES} bytes")
        try:
            encoded = unicodedata.normalize("NFC", text).encode()
        except UnicodeEncodeError:
            raise InvalidValue("password", "must be valid Unicode") from None
        if len(encoded) > MAX_PASSWORD_BYTES:
            raise InvalidValue("password", f"must have at most {MAX_PASSWORD_BYTES} bytes")
        return cls(encoded)


SHARE_TOKEN_BYTES: Final = 32


class ShareToken(Secret):
    """
    The bearer secret of a share link: 256 random bits, base64url without padding in URLs.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read the one canonical spelling (43 characters); every other spelling is refused.
        """
        if isinstance(text, str) and len(text) == 43 and text.isascii():
            try:
                value = base64.b64decode(text + "=", altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                value = b""
            token = cls(value)
            if len(value) == SHARE_TOKEN_BYTES and hmac.compare_digest(token.spelling(), text):
                return token
        raise InvalidValue("token", "not a share token")

    def spelling(self) -> str:
        """
        The token as it stands in a URL: base64url, no padding (RFC 4648, section 5).
        """
        return base64.urlsafe_b64encode(self.reveal()).rstrip(b"=").decode()


@attrs.frozen
class WrappedSecret:
    """
    A secret encrypted under the key-encryption key that `key_id` names; safe to store.
    """

    key_id: str
    ciphertext: bytes = attrs.field(repr=False)


# --- people ------------------------------------------------------------------------------------

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
)


@attrs.frozen
class EmailAddress:
    """
    An e-mail address (RFC 5321 dot-string at a domain name, at most 254 characters), lower-cased.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read an address; letters are folded to lower case so that one mailbox is one account.
        """
        if not isinstance(text, str):
            raise InvalidValue("email", "must be a string")
        local, _, _ = text.partition("@")
        if len(text) > 254 or len(local) > 64 or not _EMAIL.fullmatch(text):
            raise InvalidValue("email", "is not a valid e-mail address")
        return cls(text.lower())

    def __str__(self) -> str:
        return self.value


@attrs.frozen
class Username:
    """
    A user name: 3 to 50 letters, digits or `. _ -` of any script, kept as typed after NFC.

    Two names that differ only by case are one name: compare by `key`.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read a user name or say what is wrong with it.
        """
        if not isinstance(text, str):
            raise InvalidValue("username", "must be a string")
        if not 3 <= len(text) <= 50:
            raise InvalidValue("username", "must have 3 to 50 characters")
        name = unicodedata.normalize("NFC", text)
        if not 3 <= len(name) <= 50:
            raise InvalidValue("username", "must have 3 to 50 characters")
        if not all(
            character in "._-" or unicodedata.category(character)[0] in "LN" or unicodedata.combining(character)
            for character in name
        ):
            raise InvalidValue("username", "may hold letters, digits, '.', '_' and '-' only")
        return cls(name)

    @property
    def key(self) -> str:
        """
        The form in which user names are compared: compatibility-folded and case-folded.
        """
        return unicodedata.normalize("NFKC", self.value).casefold()

    def __str__(self) -> str:
        return self.value


# --- files -------------------------------------------------------------------------------------

MAX_FILE_NAME_CHARACTERS: Final = 255

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED: Final = frozenset(
    [
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{device}{n}" for device in ("com", "lpt") for n in "0123456789\u00b9\u00b2\u00b3"),
    ],
)


@attrs.frozen
class FileName:
    """
    The name a person gave a file: one path component, the same to the eye and to the machine.

    1 to 255 characters of any script, after NFC, one of them visible. Refused: separators, control
    and bidi characters, line breaks, lone surrogates and noncharacters, `.` and `..`, a trailing dot
    or surrounding spaces, and the device names that Windows reserves. It is data for people and
    never part of a path or key; who saves a file under it minds the rest of what their own file
    system does not take (`:` or `*` on Windows, more than 255 bytes on Linux).
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read a file name; `InvalidFileName` says what is wrong with it.
        """
        if not isinstance(text, str):
            raise InvalidFileName("the file name must be a string")
        if not 1 <= len(text) <= MAX_FILE_NAME_CHARACTERS:
            raise InvalidFileName(f"the file name must have 1 to {MAX_FILE_NAME_CHARACTERS} characters")
        name = unicodedata.normalize("NFC", text)
        if len(name) > MAX_FILE_NAME_CHARACTERS:
            raise InvalidFileName(f"the file name must have 1 to {MAX_FILE_NAME_CHARACTERS} characters")
        for character in name:
            if fault := _fault_of(character):
                raise InvalidFileName(f"the file name must not hold {fault}")
        if all(unicodedata.category(character)[0] in "CZM" for character in name):
            raise InvalidFileName("the file name must hold a visible character")
        if name != name.strip() or name.endswith("."):
            raise InvalidFileName("the file name must not begin or end with a space, nor end with a dot")
        if name.partition(".")[0].rstrip().casefold() in _RESERVED:
            raise InvalidFileName("the file name is reserved by a file system")
        return cls(name)

    @property
    def extension(self) -> str:
        """
        The last suffix with its dot, lower case; empty when there is none.
        """
        stem, dot, suffix = self.value.rpartition(".")
        return f".{suffix.lower()}" if dot and stem else ""

    def __str__(self) -> str:
        return self.value


def _fault_of(character: str) -> str:
    """
    What is wrong with a character in a file name; nothing, mostly.
    """
    if character in "/\\":
        return "a path separator"
    if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return "control or bidi characters"
    # Unicode 16, section 23.7.
    if ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF:
        return "noncharacters"
    return ""


_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")


@attrs.frozen
class MediaType:
    """
    A media type without parameters (RFC 6838, section 4.2), lower case.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read the type of a Content-Type value, leaving its parameters out; refuse a malformed one.
        """
        essence = text.partition(";")[0].strip().lower() if isinstance(text, str) else ""
        if not _MEDIA_TYPE.fullmatch(essence):
            raise InvalidValue("media_type", "is not a media type")
        return cls(essence)

    def __str__(self) -> str:
        return self.value


OCTET_STREAM: Final = MediaType("application/octet-stream")


@attrs.frozen
class ByteRange:
    """
    The bytes from `start` up to and not including `stop`; it may be empty, never backwards.
    """

    start: int = attrs.field(validator=attrs.validators.ge(0))
    stop: int = attrs.field()

    @stop.validator
    def _forwards(self, _attribute: object, value: int) -> None:
        if value < self.start:
            raise InvalidValue("range", "ends before it starts")

    def __len__(self) -> int:
        return self.stop - self.start

    def intersection(self, other: ByteRange) -> ByteRange:
        """
        The bytes in both ranges; an empty range at this range's bound when there are none.
        """
        start = min(max(self.start, other.start), self.stop)
        return ByteRange(start, max(start, min(self.stop, other.stop)))

    def shifted(self, by: int) -> ByteRange:
        """
        The same bytes counted from another origin.
        """
        return ByteRange(self.start + by, self.stop + by)


# --- how often, how many -----------------------------------------------------------------------


@attrs.frozen
class Rate:
    """
    How often something may be tried: `attempts` at once, each of which comes back in its time.

    It is the generic cell rate algorithm (ITU-T I.371, annex A): all that is kept of a key is the
    moment at which its last attempt will have come back. Whole microseconds.
    """

    attempts: int
    window: timedelta

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.attempts <= 1_000_000:
            raise InvalidValue("attempts", "must be between 1 and 1000000")
        if not timedelta(seconds=1) <= self.window <= timedelta(days=365):
            raise InvalidValue("window", "must be between a second and a year")

    @property
    def interval(self) -> timedelta:
        """
        How long it takes until one attempt comes back, rounded down: the window brings back all of them.
        """
        return self.window // self.attempts

    @property
    def tolerance(self) -> timedelta:
        """
        How far in the future the last attempt may come back for one more to be admitted now.
        """
        return self.interval * (self.attempts - 1)

    def retry_after(self, comes_back: datetime, now: datetime) -> int:
        """
        Whole seconds, at least one, until the next attempt is admitted.
        """
        wait = comes_back - self.tolerance - now
        return max(1, -(-wait // timedelta(seconds=1)))


MAX_PAGE_SIZE: Final = 1000


@attrs.frozen
class Page:
    """
    A window over a listing: leave out `skip` rows, then take at most `limit` (1 to 1 000).
    """

    skip: int = 0
    limit: int = 100

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.skip < 2**63:
            raise InvalidValue("skip", "must be 0 or more")
        if not 1 <= self.limit <= MAX_PAGE_SIZE:
            raise InvalidValue("limit", f"must be between 1 and {MAX_PAGE_SIZE}")
