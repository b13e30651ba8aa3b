"""
The whole service in one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sft_adapters.bootstrap.configuration import settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.storage import (
    _EMPTY,
    prepare,
)
from sft_core.application import Application
from sft_core.ports import Clock


@contextmanager
def open_service(
    data_dir: Path | str, environ: Mapping[str, str] = _EMPTY, *, clock: Clock | None = None
) -> Iterator[Application]:
    """
    The whole in one call: settings, keys, schema, folder or bucket, and the application on them.

    Without an environment it is the embedded default, SQLite and blobs in `data_dir`, with keys
    made on the first start; give `os.environ`, or the names of servers, for another one. Everything
    is closed at the end of the block. It raises what `settings_for`, `prepare` and
    `open_application` raise, which are its steps.
    """
    settings = settings_for(Path(data_dir), environ)
    prepare(settings)
    with open_application(settings, clock=clock, wait_seconds=settings.database_timeout_seconds) as application:
        yield application
