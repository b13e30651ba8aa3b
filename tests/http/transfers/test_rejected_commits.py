"""
Uploads that have come whole and are refused by their commit: nothing of them stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.wrapped_secrets import MemoryWrappedSecrets
from sft_core.values import FileName
from sft_core.vault.use_cases import UploadSession
from support.app.edge import Edge
from support.app.resumable import keys, recorded
from support.app.shared_file import problem

KINDS = pytest.mark.parametrize("public", ["false", "true"], ids=["private", "public"])
REPEATABLE = pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}], ids=["plain", "repeatable"])


def retire_the_key(service: Edge) -> None:
    """
    Retire the key that the service wraps with, so that it can store no secret any more.
    """
    database, ring = service.application.vault.find_file.begin, service.application.vault.begin_upload.keyring
    assert isinstance(database, MemoryDatabase)
    assert isinstance(ring, AesKeyRing)
    assert MemoryWrappedSecrets(database).retire(ring.active_id)


@KINDS
@REPEATABLE
def test_a_retired_key_leaves_nothing_of_a_small_file(
    service: Edge, token: str, public: str, headers: dict[str, str]
) -> None:
    """503, as it may go by; its part, which was stored before its key is wrapped, is removed."""
    retire_the_key(service)
    query = f"is_public={public}"
    response = service.call("PUT", "/files/small.txt", token=token, raw=b"small", headers=headers, query=query)
    problem(response, 503, "key-retired")
    assert service.is_empty()


@attrs.frozen
class Overtaken:
    """
    A sealing before which another file of the same owner takes the room.
    """

    service: Edge
    seal: Any

    def __call__(self, upload: UploadSession, **asked: Any) -> Any:
        self.service.application.vault.store_file(
            owner=upload.file.owner, name=FileName.parse("first.bin"), content=[bytes(600)]
        )
        return self.seal(upload, **asked)


@KINDS
@REPEATABLE
def test_no_room_any_more_leaves_nothing_of_a_small_file(
    make_edge: Callable[..., Edge], public: str, headers: dict[str, str]
) -> None:
    """413: there was room when it began to come, and the commit finds none."""
    service = make_edge(USER_QUOTA="1000")
    token = service.sign_up()
    late = service.with_use_cases(seal_upload=Overtaken(service, service.application.sharing.seal_upload))
    query = f"is_public={public}"
    response = late.call("PUT", "/files/late.bin", token=token, raw=bytes(600), headers=headers, query=query)
    assert problem(response, 413, "quota-exceeded")["used"] == 600
    assert keys(service.application) == recorded(service.application)
    assert [file["filename"] for file in service.call("GET", "/files/", token=token).json] == ["first.bin"]
