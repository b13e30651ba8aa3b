"""
Opening the application on a storage, which is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs

from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.single_writer import one_writer
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.keyring.loading import KeySet
from sft_adapters.keyring.reloading import LiveKeyRing
from sft_adapters.settings import Settings
from sft_adapters.sql import key_ownership, migrate
from sft_adapters.sql.engine import Engine
from sft_core.application import Application
from sft_core.errors import ConfigurationError
from sft_core.ports import Clock


@attrs.frozen
class Unchecked:
    """
    An application on a storage that has not been checked yet.
    """

    application: Application
    _engine: Engine
    _keyring: LiveKeyRing

    def check(self) -> None:
        """
        Check the storage; call it before the storage is used.

        Raises:
            ConfigurationError: the schema is not up to date (`prepare` updates it), or what is stored
                needs other keys.
            DatabaseUnavailable: the database does not answer.
        """
        migrate.check(self._engine)
        self._keyring.look()
        check_keys(key_ownership.keys_needed(self._engine), self._keyring)


@contextmanager
def open_application(
    settings: Settings, keys: KeySet | None = None, *, clock: Clock | None = None, wait_seconds: float = 0.0
) -> Iterator[Application]:
    """
    Open the application on the storage that the settings name; it is closed at the end of the block.

    Without `keys` they are loaded from the environment and the key files.

    Raises:
        ConfigurationError: as `Unchecked.check`; or a key cannot be loaded, or another process still has
            the storage for itself after `wait_seconds`.
        DatabaseUnavailable: the database does not answer.
    """
    with open_unchecked(settings, keys, clock=clock, wait_seconds=wait_seconds) as opened:
        opened.check()
        yield opened.application


@contextmanager
def open_unchecked(
    settings: Settings,
    keys: KeySet | None = None,
    *,
    clock: Clock | None = None,
    wait_seconds: float = 0.0,
    writes: bool = True,
) -> Iterator[Unchecked]:
    """
    Open the application without a check of the storage, which may be unreachable.

    A process that only reads (not `writes`) may do so beside the one process that writes.
    """
    with ExitStack() as opened:
        if writes:
            opened.enter_context(one_writer(settings, wait_seconds=wait_seconds))
        container = opened.enter_context(open_container(settings, keys, clock=clock))
        yield Unchecked(container.application(), container.engine(), container.keyring())


def check_keys(needed: set[str], ring: AesKeyRing | LiveKeyRing, *, source: str = "ENCRYPTION_KEY") -> None:
    """
    Raise `ConfigurationError` if the storage names a key-encryption key that the ring does not hold.
    """
    foreign = needed - ring.ids
    if foreign:
        raise ConfigurationError(
            f"{source} is key {ring.active_id}{_beside(ring)}, but this storage needs {', '.join(sorted(foreign))}: "
            "give this service the keys that the storage was begun with",
        )


def _beside(ring: AesKeyRing | LiveKeyRing) -> str:
    others = ", ".join(sorted(ring.ids - {ring.active_id}))
    return f", with {others} beside it" if others else ""
