"""
Secrets: masked in output, compared in constant time.
"""

from __future__ import annotations

import base64
import hmac
import re
import unicodedata
from typing import Final, Self

import attrs

from sft_core.errors import InvalidValue


@attrs.frozen(eq=False, repr=False)
class Secret:
    """
    Secret bytes: masked in `repr`, compared in constant time, accessible by `reveal` only.
    """

    _value: bytes = attrs.field(validator=attrs.validators.instance_of(bytes))

    def reveal(self) -> bytes:
        """
        Return the bytes; call it only where they are used.
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
    A password: at least 8 characters, at most 1 024 bytes of NFC-normalised UTF-8.

    NFC is the only normalisation (NIST SP 800-63B, section on memorized secrets), so that the same characters typed on
    two keyboards are the same password. Spaces, NULs and every other character are kept unchanged.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        password = cls.for_sign_in(text)
        if len(password.reveal().decode()) < MIN_PASSWORD_CHARACTERS:
            raise InvalidValue("password", f"must have at least {MIN_PASSWORD_CHARACTERS} characters")
        return password

    @classmethod
    def for_sign_in(cls, text: object) -> Self:
        """
        Accept a password at sign-in; raise `InvalidValue` only if no stored one can equal it.
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
_SHARE_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class ShareToken(Secret):
    """
    The link token of a share link: 256 random bits, base64url without padding in URLs.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Parse the canonical form of 43 characters; raise `InvalidValue` for any other.
        """
        if isinstance(text, str) and _SHARE_TOKEN.fullmatch(text):
            token = cls(base64.urlsafe_b64decode(text + "="))
            # The last character has two bits that encode nothing; other values than zero are not canonical.
            if hmac.compare_digest(token.encode(), text):
                return token
        raise InvalidValue("token", "is not a share token")

    def encode(self) -> str:
        """
        Return the token as in a URL: base64url without padding (RFC 4648, section 5).
        """
        return base64.urlsafe_b64encode(self.reveal()).rstrip(b"=").decode()


@attrs.frozen
class WrappedSecret:
    """
    A secret encrypted under the key-encryption key named by `key_id`; safe to store.
    """

    key_id: str
    ciphertext: bytes = attrs.field(repr=False)
