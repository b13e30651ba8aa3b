"""
Sessions: a refresh token is exchanged once, and a copy of it ends what came of it and nothing else.
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


def overtaken(sft: Application, by: Tokens, won: list[Tokens]) -> RefreshSession:
    """
    A refresh that finds its token good, and is then overtaken by another one with the same token.
    """
    sessions = HookedSessions(
        sft.users.refresh_session.sessions, lambda: won.append(sft.users.refresh_session(refresh_token=by.refresh))
    )
    return attrs.evolve(sft.users.refresh_session, sessions=sessions)


def test_a_copy_that_comes_back_ends_the_whole_family(sft: Application, maya: User) -> None:
    """Every token that descends from the sign-in ends, access tokens too; another sign-in's go on."""
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


def test_of_two_exchanges_at_once_none_gets_away_with_tokens(sft: Application, maya: User) -> None:
    """Who loses the race holds a copy: the family ends, what the winner got of it included."""
    first, won = signed_in(sft, maya), list[Tokens]()
    with pytest.raises(BadToken):
        overtaken(sft, first, won)(refresh_token=first.refresh)
    assert_ended(sft, first, *won)
    assert len(won) == 1


def test_a_session_that_is_revoked_meanwhile_gives_no_tokens(
    sft: Application, maya: User, clock: SettableClock
) -> None:
    """Between the look at a session and the exchange it may end, and then there is no exchange."""
    tokens = signed_in(sft, maya)
    session = sft.users.authenticate(access_token=tokens.access).session_id
    store = sft.users.refresh_session.sessions
    sessions = HookedSessions(store, lambda: store.revoke(session, now=clock.now()))
    with pytest.raises(BadToken):
        attrs.evolve(sft.users.refresh_session, sessions=sessions)(refresh_token=tokens.refresh)
    assert_ended(sft, tokens)


def test_an_exchange_moves_the_end_of_the_session(sft: Application, maya: User, clock: SettableClock) -> None:
    """Each exchange is good for seven days more, and the last one's token ends to the second."""
    tokens = signed_in(sft, maya)
    for _ in range(3):
        clock.advance(days=6)
        tokens = sft.users.refresh_session(refresh_token=tokens.refresh)
    clock.advance(days=7, microseconds=-1)
    tokens = sft.users.refresh_session(refresh_token=tokens.refresh)
    clock.advance(days=7)
    assert_ended(sft, tokens)


def test_an_account_that_is_switched_off_keeps_its_family(sft: Application, maya: User) -> None:
    """Its tokens are refused, not used up: when it is switched on again they are good."""
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


def test_tokens_are_in_no_text(sft: Application, maya: User) -> None:
    """Neither their `repr` nor the error about a copy tells a token."""
    tokens = signed_in(sft, maya)
    sft.users.refresh_session(refresh_token=tokens.refresh)
    with pytest.raises(BadToken) as refused:
        sft.users.refresh_session(refresh_token=tokens.refresh)
    for text in (repr(tokens), str(refused.value), refused.value.detail):
        assert tokens.access not in text
        assert tokens.refresh not in text
