"""
Exchange a refresh token for new tokens.
"""

from __future__ import annotations

import attrs

from sft_core.errors import BadToken
from sft_core.ports import Clock
from sft_core.users.model import TokenKind, TokenLifetimes
from sft_core.users.ports import SessionStore, TokenSigner
from sft_core.users.use_cases.tokens import Tokens, VerifyToken, issue_tokens


@attrs.frozen(kw_only=True)
class RefreshSession:
    """
    Exchange a refresh token for new tokens, once.

    A second exchange revokes the family and raises `BadToken`. Raises what `VerifyToken` raises.
    """

    verify: VerifyToken
    clock: Clock
    sessions: SessionStore
    signer: TokenSigner
    lifetimes: TokenLifetimes

    def __call__(self, *, refresh_token: str) -> Tokens:
        claims, session, _ = self.verify(refresh_token, kind=TokenKind.REFRESH)
        now = self.clock.now()
        end = now + self.lifetimes.refresh
        if not self.sessions.rotate(session.id, generation=claims.generation, now=now, expires_at=end):
            # The token is authentic and the session was live, so this generation was exchanged before: the
            # token was copied, and the service cannot distinguish the owner from the thief.
            self.sessions.revoke(session.id, now=now)
            raise BadToken("the refresh token was exchanged before; its family was revoked")
        renewed = attrs.evolve(session, generation=claims.generation + 1, expires_at=end)
        return issue_tokens(self.signer, renewed, now, self.lifetimes)
