"""
Wrapped secrets, independent of the row that contains them.
"""

from __future__ import annotations

import enum
from uuid import UUID

import attrs

from sft_core.sharing.model import LINK_TOKEN_PURPOSE
from sft_core.users.model import TOTP_PURPOSE
from sft_core.values import WrappedSecret
from sft_core.vault.model import FILE_KEY_PURPOSE, file_key_context


class SecretKind(enum.Enum):
    """
    A kind of wrapped secret. The value is the purpose that it is wrapped for.
    """

    FILE_KEY = FILE_KEY_PURPOSE
    LINK_TOKEN = LINK_TOKEN_PURPOSE
    TOTP_SEED = TOTP_PURPOSE


@attrs.frozen(kw_only=True)
class StoredSecret:
    """
    A wrapped secret as read; `version` is its file's, and 1 for links and users.
    """

    kind: SecretKind
    id: UUID
    version: int = 1
    wrapped: WrappedSecret

    @property
    def context(self) -> bytes:
        """
        The context that the secret is bound to (docs/reference/file-format, "Wrapping").
        """
        if self.kind is SecretKind.FILE_KEY:
            return file_key_context(self.id, self.version)
        return self.id.bytes
