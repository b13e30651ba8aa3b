"""
Opening the application on a storage: for one process or several, looked at before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs

from sft_adapters.bootstrap.container import container_of
from sft_adapters.bootstrap.single_writer import one_writer
from sft_adapters.crypto.keyring import AesKeyRing
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
    An application on a storage that nobody has looked at yet.
    """

    application: Application
    _engine: Engine
    _keyring: LiveKeyRing

    def check(self) -> None:
        """
        Look at the storage, which has to go through before it is used.

        `ConfigurationError` if the schema is not up to date (`bootstrap.prepare` makes it so) or
        what is stored needs other keys; `DatabaseUnavailable` if that cannot be told now.
        """
        migrate.check(self._engine)
        self._keyring.look()
        check_keys(key_ownership.keys_needed(self._engine), self._keyring)


@contextmanager
def open_application(
    settings: Settings, *, clock: Clock | None = None, wait_seconds: float = 0.0
) -> Iterator[Application]:
    """
    The application on the storage that the settings name, closed at the end of the block.

    What `Unchecked.check` raises; `ConfigurationError` also if another process has the storage for
    itself after `wait_seconds`.
    """
    with open_unchecked(settings, clock=clock, wait_seconds=wait_seconds) as opened:
        opened.check()
        yield opened.application


@contextmanager
def open_unchecked(
    settings: Settings, *, clock: Clock | None = None, wait_seconds: float = 0.0, writes: bool = True
) -> Iterator[Unchecked]:
    """
    The same without a look at the storage, which may be away: for who can wait for it.

    Who only reads (not `writes`) may come in beside the one process that writes.
    """
    container = container_of(settings, clock=clock)
    with ExitStack() as opened:
        if writes:
            opened.enter_context(one_writer(settings, wait_seconds=wait_seconds))
        engine = container.engine()
        opened.callback(engine.dispose)
        if settings.redis_url:
            opened.callback(container.redis().close)
        if settings.minio_endpoint:
            opened.callback(container.s3().close)
        yield Unchecked(container.application(), engine, container.keyring())


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
