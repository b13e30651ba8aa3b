"""
Broken key rings, hashers, signers, TOTP providers, ciphers, clocks, entropy and identifiers.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import hashlib
import secrets
import threading
import unicodedata
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import attrs

from sft_adapters.crypto.content import ChunkedCipher, PartReader
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.crypto.passwords import Argon2idHasher
from sft_adapters.crypto.tokens import JwtSigner
from sft_adapters.crypto.totp import PyotpProvider
from sft_adapters.testkit.one_time import step_at
from sft_core.errors import BadCredentials, BadToken, BadTotpCode
from sft_core.users.model import TokenClaims, TokenKind
from sft_core.values import ByteRange, Password, Secret, WrappedSecret
from sft_core.vault.ports import Buffer

# --- keys, passwords, tokens, codes, parts -----------------------------------------------------


class IgnoresTheContext(AesKeyRing):
    """
    A wrapped secret unwraps in any row.
    """

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        return super().wrap(secret, purpose=purpose, context=b"")

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        return super().unwrap(wrapped, purpose=purpose, context=b"")


class IgnoresThePurpose(AesKeyRing):
    """
    A wrapped secret unwraps for any valid purpose.
    """

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        super().wrap(secret, purpose=purpose, context=context)
        return super().wrap(secret, purpose="any", context=context)

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        super().wrap(Secret(bytes(16)), purpose=purpose, context=context)
        return super().unwrap(wrapped, purpose="any", context=context)


class TriesItsOwnKey(AesKeyRing):
    """
    A missing key is not named; the active key is tried instead.
    """

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        key_id = wrapped.key_id if wrapped.key_id in self._keys else self.active_id
        return super().unwrap(attrs.evolve(wrapped, key_id=key_id), purpose=purpose, context=context)


class _HashesAltered(Argon2idHasher):
    """
    Hashes `altered(password)` instead of the password.
    """

    def altered(self, password: bytes) -> bytes:
        raise NotImplementedError

    def hash(self, password: Password) -> str:
        return super().hash(Password(self.altered(password.reveal())))

    def verify(self, password: Password, hashed: str) -> None:
        super().verify(Password(self.altered(password.reveal())), hashed)


class EndsAtNul(_HashesAltered):
    """
    A password ends at its first NUL, like a C string.
    """

    def altered(self, password: bytes) -> bytes:
        return password.partition(b"\0")[0]


class EndsAfter72Bytes(_HashesAltered):
    """
    Only the first 72 bytes of a password are hashed, as by bcrypt.
    """

    def altered(self, password: bytes) -> bytes:
        return password[:72]


class TrimsSpaces(_HashesAltered):
    """
    Spaces at the ends of a password are removed.
    """

    def altered(self, password: bytes) -> bytes:
        return password.strip()


class RefusesAbsentAccountsFaster(Argon2idHasher):
    """
    The time of a refusal reveals that the account does not exist.
    """

    def verify_absent(self, password: Password) -> None:
        raise BadCredentials


@attrs.frozen
class Constant:
    """
    Every draw returns the same bytes.
    """

    def random_bytes(self, size: int) -> bytes:
        return bytes(size)


class AcceptsAnyKind(JwtSigner):
    """
    Access and refresh tokens are accepted as each other.
    """

    def verify(self, token: str, *, kind: TokenKind, now: datetime) -> TokenClaims:
        other = next(each for each in TokenKind if each is not kind)
        try:
            return super().verify(token, kind=kind, now=now)
        except BadToken:
            return attrs.evolve(super().verify(token, kind=other, now=now), kind=kind)


class IgnoresTheClock(JwtSigner):
    """
    A token never expires.
    """

    def verify(self, token: str, *, kind: TokenKind, now: datetime) -> TokenClaims:
        payload = self._decode(token)
        issued = payload.get("iat")
        moment = datetime.fromtimestamp(issued, now.tzinfo) if isinstance(issued, int) and 0 < issued < 2**35 else now
        return super().verify(token, kind=kind, now=min(now, moment))


class RoundsTheEndUp(JwtSigner):
    """
    A token outlives its session by a fraction of a second.
    """

    def sign(self, claims: TokenClaims) -> str:
        up = timedelta(microseconds=-claims.expires_at.microsecond % 1_000_000)
        return super().sign(attrs.evolve(claims, expires_at=claims.expires_at + up))


class ReturnsThePresentStep(PyotpProvider):
    """
    A neighbouring code returns the present step, so the next step accepts it again.
    """

    def matching_step(self, seed: Secret, code: object, *, now: datetime) -> int:
        super().matching_step(seed, code, now=now)
        return step_at(now)


class ReadsAnyDigits(PyotpProvider):
    """
    Digits of every script are accepted.
    """

    def matching_step(self, seed: Secret, code: object, *, now: datetime) -> int:
        digits = [str(unicodedata.digit(letter, -1)) for letter in str(code)]
        return super().matching_step(seed, "".join(digits) if "-1" not in digits else code, now=now)


class AcceptsTwoNeighbours(PyotpProvider):
    """
    The window contains two steps on either side.
    """

    def matching_step(self, seed: Secret, code: object, *, now: datetime) -> int:
        for away in (0, -30, 30):
            try:
                return super().matching_step(seed, code, now=now + timedelta(seconds=away))
            except BadTotpCode:
                continue
        raise BadTotpCode


class EncryptsWithoutContext(ChunkedCipher):
    """
    A part is not bound to its file and number.
    """

    def encrypt(self, key: Secret, *, context: bytes, plaintext: Buffer) -> Any:
        return super().encrypt(key, context=b"", plaintext=plaintext)

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> Any:
        return super().reader(key, context=b"", header=header, size=size)


class _TrustsTheHeader(PartReader):
    def decrypt(self, window: ByteRange, ciphertext: memoryview, span: ByteRange) -> bytes:
        own = bytearray(ciphertext)
        if window.start == 0:
            own[: len(self._message.header)] = self._message.header
        return super().decrypt(window, memoryview(own)[: len(ciphertext)], span)


class TrustsTheBlobsHeader(ChunkedCipher):
    """
    A reader does not compare the blob's header with the manifest's.
    """

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> Any:
        reader = super().reader(key, context=context, header=header, size=size)
        return _TrustsTheHeader(message=reader._message, size=reader._size, encrypted_size=reader._encrypted_size)


# --- time, chance, identifiers -----------------------------------------------------------------


@attrs.frozen
class LocalClock:
    """
    The clock returns local time without a time zone.
    """

    def now(self) -> datetime:
        return datetime.now()  # noqa: DTZ005 (the bug)


@attrs.frozen
class WholeSeconds:
    """
    The clock drops microseconds.
    """

    def now(self) -> datetime:
        return datetime.now().astimezone().replace(microsecond=0).astimezone(tz=None)


@attrs.define
class HasSixteenBitsOfState:
    """
    The source has a state of sixteen bits.
    """

    state: int = 0
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def random_bytes(self, size: int) -> bytes:
        with self.lock:
            self.state = (self.state + 1) % 4096
            return hashlib.shake_128(self.state.to_bytes(2, "big")).digest(size)


@attrs.frozen
class PrefersZero:
    """
    The value 0 is drawn more often than others.
    """

    def random_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size).replace(b"\xff", b"\x00")


@attrs.frozen
class RandomIds:
    """
    Identifiers are UUIDs of version 4, which do not sort by creation.
    """

    def new(self) -> UUID:
        return uuid4()
