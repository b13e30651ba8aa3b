"""
The whole service in one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sft_adapters.bootstrap.configuration import settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.storage import prepare
from sft_core.application import Application
from sft_core.ports import Clock


@contextmanager
def open_service(
    data_dir: Path | str, environ: Mapping[str, str] | None = None, *, clock: Clock | None = None
) -> Iterator[Application]:
    """
    Open a service in one call: settings, keys, schema, blob store and application.

    Without an environment it is the embedded default: SQLite and blobs in `data_dir`, with keys created on the first
    start; pass `os.environ`, or the names of servers, for another one. Everything is closed at the end of the block.
    It raises what its steps `settings_for`, `prepare` and `open_application` raise.
    """
    settings = settings_for(Path(data_dir), environ)
    keys = prepare(settings)
    seconds = settings.database.timeout_seconds
    with open_application(settings, keys, clock=clock, wait_seconds=seconds) as application:
        yield application
