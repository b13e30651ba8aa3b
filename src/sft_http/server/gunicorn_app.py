"""
The gunicorn application of `sft serve`: its options, its workers and their resources.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from falcon.asgi import App
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from sft_adapters.bootstrap.open_application import open_unverified
from sft_adapters.keyring.loading import KeySet, reload_keys
from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.errors import ConfigurationError, DatabaseUnavailable, Unavailable
from sft_http.app import create_app
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.server.connection_limit import ConnectionLimits
from sft_http.server.json_logging import logging_config
from sft_http.server.malloc import trim
from sft_http.server.sweep_thread import SweepThread

log: Final = logging.getLogger("sft.server")

_DESCRIPTORS: Final = 65_536


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn with the service's settings; every worker builds an application after the fork.
    """

    def __init__(
        self, settings: Settings, keys: KeySet, connection_limits: ConnectionLimits, options: dict[str, Any]
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.connection_limits = connection_limits
        self._options = options
        self._resources = ExitStack()
        self._application: Application | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", lambda _server, _worker: self._resources.close())

    def reload(self) -> None:
        """
        Read the key files again on SIGHUP, before the next workers start.
        """
        try:
            self.keys = reload_keys(self.keys)
        except ConfigurationError as error:
            log.warning("the key ring stays as it was: %s", error.detail)
        super().reload()

    def load(self) -> App[Any, Any]:
        """
        Build the application in each worker: no connection may be shared over a fork.

        If the storage cannot be used as configured it raises `SystemExit`, and gunicorn ends the service.
        """
        settings = self.settings
        # During a reload an old worker may hold the lock of the single writer. The wait is unlimited,
        # because a worker that cannot start would end the service.
        opened = self._resources.enter_context(open_unverified(settings, self.keys, wait_seconds=math.inf))
        storage_check: Callable[[], None] | None = None
        try:
            opened.check()
        except Unavailable:
            # A worker that ends would end the service; this one responds 503 until the storage is available.
            storage_check = partial(_check_or_stop_worker, opened.check)
        except ConfigurationError as error:
            log.critical("%s", error.detail)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        pools = ThreadPools(settings)
        self._resources.callback(pools.close)
        if settings.sweep.interval_seconds:
            sweep_thread = SweepThread(
                opened.application.maintenance.leased_sweep,
                check=opened.check,
                interval_seconds=settings.sweep.interval_seconds,
                stop_seconds=settings.server.cleanup_seconds,
            )
            self._resources.callback(sweep_thread.close)
            sweep_thread.start()
        self._application = opened.application
        return create_app(opened.application, settings=settings, pools=pools, storage_check=storage_check)

    def trim_memory(self) -> None:
        """
        Return unused memory to the system; a worker calls it every few seconds.
        """
        if self._application is not None:
            self._application.vault.read_file.release_buffers()
        trim()


def _check_or_stop_worker(check: Callable[[], None]) -> None:
    """
    Check a storage that was unavailable at start; end this process if it is misconfigured.

    Its successor fails at its own start for the same reason, and gunicorn ends the service with it.
    """
    try:
        check()
    except ConfigurationError as error:
        log.critical("the storage cannot be used: %s", error.detail)
        os.kill(os.getpid(), signal.SIGTERM)
        raise DatabaseUnavailable from None


def bound_socket(host: str, port: int) -> socket.socket:
    """
    Return a bound socket; raise `ConfigurationError` if the address cannot be resolved or bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return bound


def run(
    settings: Settings, keys: KeySet, *, bound: socket.socket, workers: int, when_ready: Callable[[], None]
) -> None:
    """
    Serve on the socket until SIGTERM or SIGINT, and close it.

    Requests in progress then have the graceful timeout to finish.
    """
    connection_limits = ConnectionLimits.from_settings(settings, descriptors=_raise_descriptor_limit())
    # Connections inherit the option. By default the kernel buffers megabytes for each client that reads nothing.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.downloads.send_buffer_kib << 10)
    found = options(settings, workers=workers) | {"bind": f"fd://{bound.detach()}"}
    server = Server(settings, keys, connection_limits, found | {"when_ready": lambda _server: when_ready()})
    # Workers share the memory of existing objects until a garbage collection writes to it: about 15 MiB each.
    gc.collect()
    gc.freeze()
    server.run()


def _raise_descriptor_limit() -> int:
    """
    Raise the soft limit of open files to what the system allows, and return it.

    The usual soft limit of 1024 exists for programs that pass descriptors to `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def options(settings: Settings, *, workers: int) -> dict[str, Any]:
    """
    Return gunicorn's options: those that the service promises, with its other features disabled.
    """
    return {
        "workers": workers,
        "worker_class": "sft_http.server.worker.SftWorker",
        "proc_name": "sft",
        # The limits and errors of the parser in Python are the ones that the tests examine.
        "http_parser": "python",
        "asgi_loop": "asyncio",
        "asgi_lifespan": "off",
        # After a disconnect the application is cancelled at once, and aborts its upload.
        "asgi_disconnect_grace_period": 0,
        "control_socket_disable": True,
        "header_map": "refuse",
        # The main process kills its workers after this time; they stop serving earlier (`SftWorker`).
        "graceful_timeout": settings.server.graceful_stop_seconds + settings.server.cleanup_seconds,
        "keepalive": settings.server.keepalive_seconds,
        "timeout": settings.server.worker_timeout_seconds,
        "worker_tmp_dir": None,
        "accesslog": None,
        "errorlog": "-",
        "logconfig_dict": logging_config(debug=settings.app.debug),
    }
