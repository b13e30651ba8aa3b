"""
Opening the application on a storage, which is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs

from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.single_writer import single_writer_lock
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.keyring.loading import KeySet
from sft_adapters.keyring.reloading import ReloadingKeyRing
from sft_adapters.settings import Settings
from sft_adapters.sql import key_ownership, migrate
from sft_adapters.sql.engine import Engine
from sft_core.application import Application
from sft_core.errors import ConfigurationError
from sft_core.ports import Clock


@attrs.frozen
class UnverifiedApplication:
    """
    An application on a storage that has not been checked yet.
    """

    application: Application
    _engine: Engine
    _keyring: ReloadingKeyRing

    def check(self) -> None:
        """
        Check the storage; call it before the storage is used.

        Raises:
            ConfigurationError: the schema is not up to date (`prepare` updates it), or the storage needs other keys.
            DatabaseUnavailable: the database does not answer.
        """
        migrate.check(self._engine)
        self._keyring.refresh_if_changed()
        check_keys(key_ownership.required_key_ids(self._engine), self._keyring)


@contextmanager
def open_application(
    settings: Settings, keys: KeySet | None = None, *, clock: Clock | None = None, wait_seconds: float = 0.0
) -> Iterator[Application]:
    """
    Open the application on the configured storage; it is closed after the block.

    Without `keys` they are loaded from the environment and the key files.

    Raises:
        ConfigurationError: as `UnverifiedApplication.check`; or a key cannot be loaded, or another process still has
            the storage for itself after `wait_seconds`.
        DatabaseUnavailable: the database does not answer.
    """
    with open_unverified(settings, keys, clock=clock, wait_seconds=wait_seconds) as unverified:
        unverified.check()
        yield unverified.application


@contextmanager
def open_unverified(
    settings: Settings,
    keys: KeySet | None = None,
    *,
    clock: Clock | None = None,
    wait_seconds: float = 0.0,
    writes: bool = True,
) -> Iterator[UnverifiedApplication]:
    """
    Open the application without a check of the storage, which may be unreachable.

    A process that only reads (not `writes`) may do so beside the one process that writes.
    """
    with ExitStack() as resources:
        if writes:
            resources.enter_context(single_writer_lock(settings, wait_seconds=wait_seconds))
        container = resources.enter_context(open_container(settings, keys, clock=clock))
        yield UnverifiedApplication(container.application(), container.engine(), container.keyring())


def check_keys(required: set[str], ring: AesKeyRing | ReloadingKeyRing, *, source: str = "ENCRYPTION_KEY") -> None:
    """
    Raise `ConfigurationError` if the storage names a key-encryption key that the ring does not hold.
    """
    if missing := ", ".join(sorted(required - ring.ids)):
        others = ", ".join(sorted(ring.ids - {ring.active_id}))
        beside = f", with {others} beside it" if others else ""
        raise ConfigurationError(
            f"{source} is key {ring.active_id}{beside}, but this storage needs {missing}: give this service the keys "
            "that the storage was begun with",
        )
