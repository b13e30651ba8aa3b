"""
Sessions: a refresh token is exchanged once, and its reuse revokes its family and no other.
"""

from __future__ import annotations

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_core.application import Application
from sft_core.errors import BadToken, InactiveUser
from sft_core.users.model import User
from sft_core.users.use_cases import RefreshSession, Tokens
from support.app.library import PASSWORD, HookedSessions, stored


def signed_in(sft: Application, user: User) -> Tokens:
    return sft.users.sign_in(email=user.email, password=PASSWORD)


def assert_ended(sft: Application, *tokens: Tokens) -> None:
    for one in tokens:
        with pytest.raises(BadToken):
            sft.users.authenticate(access_token=one.access)
        with pytest.raises(BadToken):
            sft.users.refresh_session(refresh_token=one.refresh)


def refresh_after(sft: Application, tokens: Tokens, winners: list[Tokens]) -> RefreshSession:
    """
    A refresh whose token is valid at the lookup, and which another refresh with the same token precedes.
    """
    sessions = HookedSessions(
        sft.users.refresh_session.sessions,
        lambda: winners.append(sft.users.refresh_session(refresh_token=tokens.refresh)),
    )
    return attrs.evolve(sft.users.refresh_session, sessions=sessions)


def test_reused_refresh_token_revokes_its_family(sft: Application, maya: User) -> None:
    """Every token that descends from the sign-in is revoked, access tokens too; other sign-ins continue."""
    first, other = signed_in(sft, maya), signed_in(sft, maya)
    second = sft.users.refresh_session(refresh_token=first.refresh)
    third = sft.users.refresh_session(refresh_token=second.refresh)
    for tokens in (first, second, third):
        assert sft.users.authenticate(access_token=tokens.access).user.id == maya.id
    with pytest.raises(BadToken):
        sft.users.refresh_session(refresh_token=first.refresh)
    assert_ended(sft, first, second, third)
    assert sft.users.authenticate(access_token=other.access).user.id == maya.id
    assert sft.users.refresh_session(refresh_token=other.refresh).access


def test_concurrent_exchanges_revoke_the_family(sft: Application, maya: User) -> None:
    """Losing the race proves a copy, so the family is revoked, including the winner's new tokens."""
    first, winners = signed_in(sft, maya), list[Tokens]()
    with pytest.raises(BadToken):
        refresh_after(sft, first, winners)(refresh_token=first.refresh)
    assert_ended(sft, first, *winners)
    assert len(winners) == 1


def test_session_revoked_during_a_refresh_returns_no_tokens(sft: Application, maya: User, clock: SettableClock) -> None:
    """A session revoked between lookup and exchange returns no tokens."""
    tokens = signed_in(sft, maya)
    session = sft.users.authenticate(access_token=tokens.access).session_id
    store = sft.users.refresh_session.sessions
    sessions = HookedSessions(store, lambda: store.revoke(session, now=clock.now()))
    with pytest.raises(BadToken):
        attrs.evolve(sft.users.refresh_session, sessions=sessions)(refresh_token=tokens.refresh)
    assert_ended(sft, tokens)


def test_exchange_extends_the_session(sft: Application, maya: User, clock: SettableClock) -> None:
    """Each exchange extends the session by seven days, and the last token expires exactly then."""
    tokens = signed_in(sft, maya)
    for _ in range(3):
        clock.advance(days=6)
        tokens = sft.users.refresh_session(refresh_token=tokens.refresh)
    clock.advance(days=7, microseconds=-1)
    tokens = sft.users.refresh_session(refresh_token=tokens.refresh)
    clock.advance(days=7)
    assert_ended(sft, tokens)


def test_inactive_account_keeps_its_token_family(sft: Application, maya: User) -> None:
    """Tokens of an inactive account are refused, not used up: after reactivation they are valid."""
    tokens = signed_in(sft, maya)

    def switch(*, active: bool) -> None:
        with sft.users.sign_in.begin() as unit:
            unit.users.save(attrs.evolve(stored(sft, maya), is_active=active))
            unit.commit()

    switch(active=False)
    with pytest.raises(InactiveUser):
        sft.users.refresh_session(refresh_token=tokens.refresh)
    with pytest.raises(InactiveUser):
        sft.users.authenticate(access_token=tokens.access)
    switch(active=True)
    assert sft.users.refresh_session(refresh_token=tokens.refresh).access


def test_tokens_do_not_appear_in_text(sft: Application, maya: User) -> None:
    """Neither `repr` nor the reuse error contains a token."""
    tokens = signed_in(sft, maya)
    sft.users.refresh_session(refresh_token=tokens.refresh)
    with pytest.raises(BadToken) as refused:
        sft.users.refresh_session(refresh_token=tokens.refresh)
    for text in (repr(tokens), str(refused.value), refused.value.detail):
        assert tokens.access not in text
        assert tokens.refresh not in text
