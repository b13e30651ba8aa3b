"""
The REST service as a running server: gunicorn, its workers, and what each of them owns.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from falcon.asgi import App
from gunicorn.app.base import BaseApplication

from sft_adapters.container import open_application
from sft_adapters.settings import Settings
from sft_http.app import create_app
from sft_http.lanes import Lanes
from sft_http.logs import logging_config


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn with our settings; every worker builds an application of its own after the fork.
    """

    def __init__(self, settings: Settings, options: dict[str, Any]) -> None:
        self._settings = settings
        self._options = options
        self._owned = ExitStack()
        super().__init__()

    @property
    def header_seconds(self) -> float:
        """
        How long a new connection may take to send the head of its first request.
        """
        return self._settings.header_timeout_seconds

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", lambda _server, _worker: self._owned.close())

    def load(self) -> App[Any, Any]:
        """
        Build the application; called in each worker, so no connection ever crosses a fork.
        """
        settings = self._settings
        application = self._owned.enter_context(open_application(settings))
        lanes = Lanes(
            control_threads=settings.control_threads,
            transfer_threads=settings.transfer_threads,
            hash_threads=settings.hash_concurrency,
            hash_wait_seconds=settings.hash_wait_seconds,
            queue_limit=settings.queue_limit,
        )
        self._owned.callback(lanes.close)
        return create_app(application, settings=settings, lanes=lanes)


def run(settings: Settings, *, host: str, port: int, workers: int) -> None:
    """
    Serve until SIGTERM or SIGINT; requests under way then have the graceful time to finish.
    """
    Server(settings, options(settings, host=host, port=port, workers=workers)).run()


def options(settings: Settings, *, host: str, port: int, workers: int) -> dict[str, Any]:
    """
    Gunicorn's settings: what the contract asks for, and nothing it would do beyond that.
    """
    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers,
        "worker_class": "sft_http.worker.SftWorker",
        "proc_name": "sft",
        # The pure parser is the one whose limits and refusals our tests know.
        "http_parser": "python",
        "asgi_loop": "asyncio",
        "asgi_lifespan": "off",
        # A client that is gone is told to the application at once, which aborts its upload.
        "asgi_disconnect_grace_period": 0,
        "control_socket_disable": True,
        "header_map": "refuse",
        "graceful_timeout": settings.graceful_stop_seconds,
        "keepalive": settings.keepalive_seconds,
        "timeout": settings.worker_timeout_seconds,
        "worker_tmp_dir": None,
        "accesslog": None,
        "errorlog": "-",
        "logconfig_dict": logging_config(debug=settings.debug),
    }
