"""
Authentication of a request by its access token.
"""

from __future__ import annotations

import attrs

from sft_core.users.model import TokenKind, User
from sft_core.users.use_cases.tokens import VerifyToken
from sft_core.values import SessionId


@attrs.frozen(kw_only=True)
class Caller:
    """
    A user who has proved to be one, and the session by which they did.
    """

    user: User
    session_id: SessionId


@attrs.frozen(kw_only=True)
class Authenticate:
    """
    Tell who bears an access token; `BadToken` or `InactiveUser` if nobody may.
    """

    verify: VerifyToken

    def __call__(self, *, access_token: str) -> Caller:
        _, session, user = self.verify(access_token, kind=TokenKind.ACCESS)
        return Caller(user=user, session_id=session.id)
