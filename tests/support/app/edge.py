"""
The HTTP layer without a socket: the application on memory adapters, driven by Falcon's test client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import falcon.testing

from sft_adapters.bootstrap.configuration import ephemeral_keys
from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_http.app import create_app
from sft_http.concurrency.memory_budgets import TransferLimits
from sft_http.concurrency.thread_pools import ThreadPools
from support.app.use_cases import with_use_cases

API = "/api/v1"
PASSWORD = "correct horse battery"


@attrs.frozen
class Edge:
    """
    An application, its HTTP layer, and its clock.
    """

    application: Application
    client: falcon.testing.TestClient
    clock: SettableClock
    pools: ThreadPools
    settings: Settings

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        query: str = "",
    ) -> falcon.testing.Result:
        """
        Send one request; a path that begins with `//` is outside the API's prefix.
        """
        found = dict(headers or {})
        if token:
            found["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body).encode()
            found.setdefault("Content-Type", "application/json")
        target = path[1:] if path.startswith("//") else API + path
        return self.client.simulate_request(method, target, headers=found, body=raw, query_string=query)

    def sign_up(self, name: str = "maya") -> str:
        """
        Register a user, sign in, and return the access token.
        """
        account = {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
        assert self.call("POST", "/auth/register", body=account).status_code == 201
        return str(self.sign_in(name)["access_token"])

    def sign_in(self, name: str = "maya") -> dict[str, str]:
        """
        Sign in and return the tokens.
        """
        login = {"email": f"{name}@example.org", "password": PASSWORD}
        tokens: dict[str, str] = self.call("POST", "/auth/login", body=login).json
        return tokens

    def upload(self, token: str, form: bytes, *, boundary: str = "b", query: str = "") -> falcon.testing.Result:
        """
        Upload a form.
        """
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.call("POST", "/files/upload", token=token, headers=headers, raw=form, query=query)

    def store(self, token: str, content: bytes, name: str = "file.bin", **fields: str) -> dict[str, Any]:
        """
        Upload a file and return its description.
        """
        form = file_part(content, name) + b"".join(field_part(key, value) for key, value in fields.items()) + END
        response = self.upload(token, form)
        assert response.status_code == 201, response.text
        stored: dict[str, Any] = response.json
        return stored

    def with_use_cases(self, **changes: Any) -> Edge:
        """
        Return another edge on the same storage, with some use cases replaced.
        """
        application: Application = with_use_cases(self.application, **changes)
        app = create_app(application, settings=self.settings, pools=self.pools)
        return attrs.evolve(self, application=application, client=falcon.testing.TestClient(app))

    def is_empty(self) -> bool:
        """
        Return whether no file row, no part and no quota usage exists.
        """
        begin = self.application.vault.find_file.begin
        assert isinstance(begin, MemoryDatabase)
        rows = begin.snapshot()
        return (
            not rows.files
            and not any(rows.usages.values())
            and not list(self.application.vault.store_part.blobs.list())
        )


END = b"--b--\r\n"


def part(disposition: bytes, content: bytes, *, more: bytes = b"") -> bytes:
    return b"--b\r\nContent-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + content + b"\r\n"


def file_part(content: bytes, name: str = "file.bin") -> bytes:
    return part(f'form-data; name="file"; filename="{name}"'.encode(), content)


def field_part(name: str, value: str) -> bytes:
    return part(f'form-data; name="{name}"'.encode(), value.encode())


def edge(**environ: str) -> Edge:
    """
    Build an edge, with cheap password hashes unless the environment sets others.
    """
    environ = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": "65536"} | environ
    clock = SettableClock()
    environ = ephemeral_keys() | environ
    application = memory_application(clock, environ)
    return edge_of(application, Settings.from_env(environ, data_dir=Path("/nonexistent")), clock)


def edge_of(application: Application, settings: Settings, clock: SettableClock) -> Edge:
    """
    Build the edge of an existing application.
    """
    server = attrs.evolve(settings.server, control_threads=2, transfer_threads=2, queue_limit=64, queue_wait_seconds=30)
    hashing = attrs.evolve(settings.hashing, concurrency=1, wait_seconds=30)
    pools = ThreadPools(attrs.evolve(settings, server=server, hashing=hashing))
    pools.limits = TransferLimits.from_settings(settings)
    client = falcon.testing.TestClient(create_app(application, settings=settings, pools=pools))
    return Edge(application, client, clock, pools, settings)
