"""
Authenticate a request by its access token.
"""

from __future__ import annotations

import attrs

from sft_core.users.model import TokenKind, User
from sft_core.users.use_cases.tokens import VerifyToken
from sft_core.values import SessionId


@attrs.frozen(kw_only=True)
class AuthenticatedUser:
    """
    An authenticated user, and the session that authenticated them.
    """

    user: User
    session_id: SessionId


@attrs.frozen(kw_only=True)
class Authenticate:
    """
    Return the user of an access token; raises what `VerifyToken` raises.
    """

    verify: VerifyToken

    def __call__(self, *, access_token: str) -> AuthenticatedUser:
        _, session, user = self.verify(access_token, kind=TokenKind.ACCESS)
        return AuthenticatedUser(user=user, session_id=session.id)
