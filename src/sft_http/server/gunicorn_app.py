"""
The REST service as a running server: gunicorn, its workers, and what each of them owns.
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
from typing import Any, Final

from falcon.asgi import App
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from sft_adapters.bootstrap.open_application import open_unchecked
from sft_adapters.keyring.loading import KeySet, reload_keys
from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.errors import ConfigurationError, DatabaseUnavailable, Unavailable
from sft_http.app import create_app
from sft_http.concurrency.memory_budgets import Limits
from sft_http.concurrency.thread_pools import Lanes
from sft_http.server.connection_limit import Room
from sft_http.server.json_logging import logging_config
from sft_http.server.malloc import give_back
from sft_http.server.sweep_thread import Sweeper

log: Final = logging.getLogger("sft.server")

_DESCRIPTORS: Final = 65_536


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn with our settings; every worker builds an application of its own after the fork.
    """

    def __init__(self, settings: Settings, keys: KeySet, room: Room, options: dict[str, Any]) -> None:
        self.settings = settings
        self.keys = keys
        self.room = room
        self._options = options
        self._owned = ExitStack()
        self._application: Application | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", lambda _server, _worker: self._owned.close())

    def reload(self) -> None:
        """
        Let the next workers have the key ring as its files are now; called on SIGHUP, before the first of them.
        """
        try:
            self.keys = reload_keys(self.keys)
        except ConfigurationError as error:
            log.warning("the key ring stays as it was: %s", error.detail)
        super().reload()

    def load(self) -> App[Any, Any]:
        """
        Build the application; called in each worker, so no connection ever crosses a fork.
        """
        settings = self.settings
        # While the server reloads, an old worker may hold what only one process may have: it is
        # waited for as long as it takes, for a worker that cannot start would end the server.
        opened = self._owned.enter_context(open_unchecked(settings, self.keys, wait_seconds=math.inf))
        first_check: Callable[[], None] | None = None
        try:
            opened.check()
        except Unavailable:
            # A worker that ends would end the service; this one answers 503 until it is there.
            first_check = _ending_the_worker(opened.check)
        except ConfigurationError as error:
            log.critical("%s", error.detail)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        lanes = Lanes(
            control_threads=settings.server.control_threads,
            transfer_threads=settings.server.transfer_threads,
            hash_threads=settings.hashing.concurrency,
            hash_wait_seconds=settings.hashing.wait_seconds,
            queue_limit=settings.server.queue_limit,
            queue_wait_seconds=settings.server.queue_wait_seconds,
            limits=Limits.of(settings),
        )
        self._owned.callback(lanes.close)
        if settings.sweep.interval_seconds:
            sweeper = Sweeper(
                opened.application.sweep_in_turn,
                check=opened.check,
                interval_seconds=settings.sweep.interval_seconds,
                stop_seconds=settings.server.cleanup_seconds,
            )
            self._owned.callback(sweeper.close)
            sweeper.start()
        self._application = opened.application
        return create_app(opened.application, settings=settings, lanes=lanes, first_check=first_check)

    def let_go(self) -> None:
        """
        Let the system have the memory that nobody uses; in a worker, now and then.
        """
        if self._application is not None:
            self._application.read_file.let_go()
        give_back()


def _ending_the_worker(check: Callable[[], None]) -> Callable[[], None]:
    """
    The check of a storage that was away at the start: if it will not do, this process ends.

    Its successor finds the same at its own start and ends the service with the reason.
    """

    def checked() -> None:
        try:
            check()
        except ConfigurationError as error:
            log.critical("the storage cannot be served: %s", error.detail)
            os.kill(os.getpid(), signal.SIGTERM)
            raise DatabaseUnavailable from None

    return checked


def listening(host: str, port: int) -> socket.socket:
    """
    A socket bound to an address; `ConfigurationError` says why there is none.
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
    Serve until SIGTERM or SIGINT; requests under way then have the graceful time to finish.

    The socket is the server's from then on, and closed by it.
    """
    room = Room.of(settings, descriptors=_raise_descriptor_limit())
    # Its connections inherit it. Left alone the kernel keeps up to megabytes for each client that reads nothing.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.downloads.send_buffer_kib << 10)
    found = options(settings, workers=workers) | {"bind": f"fd://{bound.detach()}"}
    server = Server(settings, keys, room, found | {"when_ready": lambda _server: when_ready()})
    # Workers share the memory of what is there by now, until a collection writes to it: some 15 MiB each.
    gc.collect()
    gc.freeze()
    server.run()


def _raise_descriptor_limit() -> int:
    """
    Let each process open as many files as the system allows it; returns how many that is.

    The usual soft limit of 1024 is there for programs that pass descriptors to `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def options(settings: Settings, *, workers: int) -> dict[str, Any]:
    """
    Gunicorn's settings: what the contract asks for, and nothing it would do beyond that.
    """
    return {
        "workers": workers,
        "worker_class": "sft_http.server.worker.SftWorker",
        "proc_name": "sft",
        # The pure parser is the one whose limits and refusals our tests know.
        "http_parser": "python",
        "asgi_loop": "asyncio",
        "asgi_lifespan": "off",
        # A client that is gone is told to the application at once, which aborts its upload.
        "asgi_disconnect_grace_period": 0,
        "control_socket_disable": True,
        "header_map": "refuse",
        # The main process ends its workers then; they stop serving earlier (`SftWorker`).
        "graceful_timeout": settings.server.graceful_stop_seconds + settings.server.cleanup_seconds,
        "keepalive": settings.server.keepalive_seconds,
        "timeout": settings.server.worker_timeout_seconds,
        "worker_tmp_dir": None,
        "accesslog": None,
        "errorlog": "-",
        "logconfig_dict": logging_config(debug=settings.app.debug),
    }
