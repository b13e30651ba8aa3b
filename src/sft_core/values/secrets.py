"""
Secrets: masked where they are shown, compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import unicodedata
from typing import Final, Self

import attrs

from sft_core.errors import InvalidValue


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
