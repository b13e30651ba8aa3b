"""
Uploads that are received completely and rejected by their commit: nothing of them is left.
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


def retire_active_key(service: Edge) -> None:
    """
    Retire the active key of the service, so that it can wrap no new secret.
    """
    database, ring = service.application.vault.find_file.begin, service.application.vault.begin_upload.keyring
    assert isinstance(database, MemoryDatabase)
    assert isinstance(ring, AesKeyRing)
    assert MemoryWrappedSecrets(database).retire(ring.active_id)


@KINDS
@REPEATABLE
def test_retired_key_leaves_nothing_of_a_small_file(
    service: Edge, token: str, public: str, headers: dict[str, str]
) -> None:
    """It is 503, since a retry may succeed; the part, which was stored before its key is wrapped, is deleted."""
    retire_active_key(service)
    query = f"is_public={public}"
    response = service.call("PUT", "/files/small.txt", token=token, raw=b"small", headers=headers, query=query)
    problem(response, 503, "key-retired")
    assert service.is_empty()


@attrs.frozen
class OvertakenSeal:
    """
    A seal before which another file of the same owner uses the quota.
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
def test_quota_exceeded_at_commit_leaves_nothing_of_a_small_file(
    make_edge: Callable[..., Edge], public: str, headers: dict[str, str]
) -> None:
    """It is 413: the quota sufficed when the upload started, but not at its commit."""
    service = make_edge(USER_QUOTA="1000")
    token = service.sign_up()
    late = service.with_use_cases(seal_upload=OvertakenSeal(service, service.application.sharing.seal_upload))
    query = f"is_public={public}"
    response = late.call("PUT", "/files/late.bin", token=token, raw=bytes(600), headers=headers, query=query)
    assert problem(response, 413, "quota-exceeded")["used"] == 600
    assert keys(service.application) == recorded(service.application)
    assert [file["filename"] for file in service.call("GET", "/files/", token=token).json] == ["first.bin"]
