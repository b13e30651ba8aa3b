"""
Register a user account.
"""

from __future__ import annotations

import attrs

from sft_core.ports import Clock, IdGenerator, UnitOfWorkFactory
from sft_core.users.model import User
from sft_core.users.ports import PasswordHasher, UsersUnit
from sft_core.values import EmailAddress, Password, UserId, Username


@attrs.frozen(kw_only=True)
class RegisterUser:
    """
    Create an account; raise `AlreadyRegistered` if the address or the user name is taken.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    ids: IdGenerator
    clock: Clock
    hasher: PasswordHasher

    def __call__(self, *, email: EmailAddress, username: Username, password: Password) -> User:
        user = User(
            id=UserId(self.ids.new()),
            email=email,
            username=username,
            password_hash=self.hasher.hash(password),
            created_at=self.clock.now(),
        )
        with self.begin() as unit:
            unit.users.add(user)
            unit.commit()
        return user
