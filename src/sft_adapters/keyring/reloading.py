"""
The key ring of a running service, which reloads its key files at run time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

import attrs

from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.disk import key_files
from sft_adapters.keyring.loading import KeySet, reload_keys
from sft_core.errors import ConfigurationError, UnknownKey
from sft_core.values import Secret, WrappedSecret

log: Final = logging.getLogger("sft.keys")

COOLDOWN_SECONDS: Final = 2.0
"""Time after a useless reload in which the files are not read again: rows can name any key."""


@attrs.define(eq=False)
class ReloadingKeyRing:
    """
    Implements `sft_core.ports.KeyRing` with the keys of the start and of the key files.

    Before it wraps, it reloads files that have changed, so that new secrets are wrapped under the current active key.
    It also reloads them if a secret names an unknown key, at most once in `COOLDOWN_SECONDS` while the files do not
    change. If a file cannot be read or is invalid, the ring stays as it was, and a warning is logged. Keys of the
    environment are read only at the start.

    A key that was removed from the ring can still unwrap in this process until it ends, because a running request may
    have read a row that is wrapped under it. Thread-safe.
    """

    _keys: KeySet = attrs.field(repr=False)
    _seconds: Callable[[], float] = time.monotonic
    _ring: AesKeyRing = attrs.field(init=False)
    _fingerprint: tuple[int, ...] | None = attrs.field(default=None, init=False)
    _cooldown_until: float = attrs.field(default=0.0, init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False, repr=False)

    @_ring.default
    def _initial_ring(self) -> AesKeyRing:
        return AesKeyRing(self._keys.encryption_key, self._keys.retiring_keys)

    @property
    def active_id(self) -> str:
        return self._ring.active_id

    @property
    def ids(self) -> frozenset[str]:
        return self._ring.ids

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        self.refresh_if_changed()
        return self._ring.wrap(secret, purpose=purpose, context=context)

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        try:
            return self._ring.unwrap(wrapped, purpose=purpose, context=context)
        except UnknownKey:
            self.refresh_if_changed(missing=wrapped.key_id)
        return self._ring.unwrap(wrapped, purpose=purpose, context=context)

    def refresh_if_changed(self, *, missing: str | None = None) -> None:
        """
        Reload the ring if its files have changed, or if it lacks the key `missing`.
        """
        folder = self._keys.folder
        if key_files.fingerprint(folder) == self._fingerprint and (missing is None or self._is_cooling_down()):
            return
        with self._lock:
            # Before they are read: a change meanwhile makes another version.
            fingerprint = key_files.fingerprint(folder)
            is_known = missing is None or missing in self._ring.ids
            if fingerprint == self._fingerprint and (is_known or self._is_cooling_down()):
                return
            if self._fingerprint is None and self._is_cooling_down():
                return
            self._cooldown_until = self._seconds() + COOLDOWN_SECONDS
            try:
                self._read()
            except ConfigurationError as error:
                log.warning("the key ring stays as it was: %s", error.detail)
                self._fingerprint = None
            else:
                self._fingerprint = fingerprint

    def _read(self) -> None:
        settings = reload_keys(self._keys)
        previous = self._ring
        self._ring = AesKeyRing(settings.encryption_key, (*settings.retiring_keys, previous.active, *previous.retiring))
        if self._ring.active_id != previous.active_id:
            log.info("key %s wraps what is new", self._ring.active_id)

    def _is_cooling_down(self) -> bool:
        return self._seconds() < self._cooldown_until
