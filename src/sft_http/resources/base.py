"""
The base class of resources: application, thread pools, settings, authentication and JSON bodies.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import attrs
from falcon.asgi import Request

from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.errors import NotAuthenticated
from sft_core.users.model import User
from sft_core.vault.model import File
from sft_http.asgi.connection import connection_of
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.resources.json_body import read_json
from sft_http.resources.parameters import file_id
from sft_http.schemas import structure

T = TypeVar("T")

_BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]+)", flags=re.IGNORECASE)


@attrs.frozen
class Resource:
    """
    Base of the resources that use the application.
    """

    application: Application
    pools: ThreadPools
    settings: Settings

    async def caller(self, req: Request) -> User:
        """
        The user that the request's access token authenticates.

        Raises `NotAuthenticated` if the token is missing, malformed, invalid or expired.
        """
        match = _BEARER.fullmatch(req.get_header("Authorization") or "")
        if match is None:
            raise NotAuthenticated
        caller = await self.pools.database(self.application.users.authenticate, access_token=match[1])
        connection_of(req).user = str(caller.user.id)
        return caller.user

    async def own_file(self, req: Request, id: str) -> File:  # noqa: A002 (the route's parameter name)
        """
        The caller's file with an id; call before reading a body, to fail early.
        """
        user = await self.caller(req)
        return await self.pools.database(self.application.vault.find_file, owner=user.id, file_id=file_id(id))

    async def body(self, req: Request, shape: type[T], *, optional: bool = False) -> T:
        """
        The request's JSON body, converted to its schema; an `optional` body may be absent.
        """
        raw = await read_json(req, limit=self.settings.server.json_body_limit, optional=optional)
        return structure(raw, shape)
