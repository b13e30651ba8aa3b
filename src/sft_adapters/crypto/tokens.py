"""
Access and refresh tokens: JSON Web Tokens (RFC 7519, RFC 8725) signed with HMAC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

import attrs
import jwt

from sft_core.errors import BadToken, ConfigurationError, InvalidValue
from sft_core.users.model import TokenClaims, TokenKind
from sft_core.values import Secret, SessionId, UserId

Algorithm = Literal["HS256", "HS384", "HS512"]

_MIN_SECRET_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
_MAX_TOKEN_CHARACTERS: Final = 2048
_MAX_GENERATION: Final = 2**63 - 1
_SEGMENTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

# The library verifies the signature only. This module checks the claims, against the time of its caller.
_CLAIMS: Final = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
_SIGNATURE_ONLY: Final = cast(
    "jwt.types.Options",
    {"verify_signature": True, "enforce_minimum_key_length": True} | {f"verify_{name}": False for name in _CLAIMS},
)


@attrs.frozen
class JwtSigner:
    """
    Implements `sft_core.users.ports.TokenSigner` with one secret and one algorithm.

    The secret is at least as long as the algorithm's digest (RFC 7518, section 3.2). A token lives at most
    `max_lifetime`. It may have been issued up to `leeway` in the future, by a server whose clock is ahead.
    `ConfigurationError` is raised if the algorithm is unknown, the secret is too short or a key in a file format, or a
    token to sign would live too long.
    """

    secret: Secret
    algorithm: Algorithm = "HS256"
    issuer: str = attrs.field(default="sft", kw_only=True)
    audience: str = attrs.field(default="sft-api", kw_only=True)
    leeway: timedelta = attrs.field(default=timedelta(seconds=60), kw_only=True)
    max_lifetime: timedelta = attrs.field(default=timedelta(days=400), kw_only=True)
    _header: str = attrs.field(init=False, repr=False)

    @_header.default
    def _checked_header(self) -> str:
        shortest = _MIN_SECRET_BYTES.get(self.algorithm)
        if shortest is None:
            raise ConfigurationError(f"ALGORITHM must be one of {', '.join(_MIN_SECRET_BYTES)}")
        if len(self.secret) < shortest:
            raise ConfigurationError(f"SECRET_KEY must have at least {shortest} bytes for {self.algorithm}")
        try:
            return self._encode({}).partition(".")[0]
        except jwt.PyJWTError:
            raise ConfigurationError("SECRET_KEY must be random bytes, not a key in a file format") from None

    def _encode(self, payload: dict[str, object]) -> str:
        return jwt.encode(payload, self.secret.reveal(), self.algorithm)

    def sign(self, claims: TokenClaims) -> str:
        if claims.expires_at - claims.issued_at > self.max_lifetime:
            raise ConfigurationError(f"tokens must not live longer than {self.max_lifetime.days} days")
        payload = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "gen": claims.generation,
            "type": claims.kind.value,
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
        }
        return self._encode(payload)

    def verify(self, token: str, *, kind: TokenKind, now: datetime) -> TokenClaims:
        payload = self._decode(token)
        for name, value in (("iss", self.issuer), ("aud", self.audience), ("type", kind.value)):
            if payload.get(name) != value:
                raise BadToken(f"claim {name!r} is not {value!r}")
        issued, expires = self._times(payload, now)
        try:
            return TokenClaims(
                kind=kind,
                user_id=UserId.parse(payload.get("sub")),
                session_id=SessionId.parse(payload.get("sid")),
                generation=_whole_number(payload, "gen", at_most=_MAX_GENERATION),
                issued_at=issued,
                expires_at=expires,
            )
        except InvalidValue:
            raise BadToken("claim 'sub' or 'sid' is not an identifier") from None

    def _decode(self, token: str) -> dict[str, object]:
        """
        Verify the signature of a token and return its payload.

        The header must equal this signer's byte for byte, so it can name neither an algorithm nor a key. Only one
        encoding of a token is accepted: the library rejects another last character for the same bytes, and the
        pattern here rejects padding.
        """
        parts = _SEGMENTS.fullmatch(token) if len(token) <= _MAX_TOKEN_CHARACTERS else None
        if parts is None or parts[1] != self._header:
            raise BadToken("the token does not have the header and form of a signed token")
        try:
            payload = jwt.decode(token, self.secret.reveal(), [self.algorithm], _SIGNATURE_ONLY)
        except jwt.PyJWTError as error:
            raise BadToken(type(error).__name__) from None
        return dict(payload)

    def _times(self, payload: Mapping[str, object], now: datetime) -> tuple[datetime, datetime]:
        now_seconds = now.timestamp()
        latest = int(now_seconds + self.leeway.total_seconds())
        issued = _whole_number(payload, "iat", at_most=latest)
        expires = _whole_number(payload, "exp", at_most=issued + int(self.max_lifetime.total_seconds()))
        if expires <= now_seconds:
            raise BadToken("the token has expired")
        if "nbf" in payload:
            _whole_number(payload, "nbf", at_most=latest)
        return datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(expires, UTC)


def _whole_number(payload: Mapping[str, object], name: str, *, at_most: int) -> int:
    """
    Return an integer claim from 0 to `at_most`; fractions and booleans are rejected.
    """
    value = payload.get(name)
    if type(value) is not int or not 0 <= value <= at_most:
        raise BadToken(f"claim {name!r} is not an integer within its bounds")
    return value
