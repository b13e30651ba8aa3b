"""
The user repository in SQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from sft_adapters.sql import retired_keys
from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import users
from sft_core.errors import AlreadyRegistered, Conflict
from sft_core.users.model import Totp, User
from sft_core.values import EmailAddress, UserId, Username, WrappedSecret

# Built once, because every request executes it.
_GET: Final = select(users).where(users.c.id == bindparam("user"))


def to_row(user: User) -> dict[str, Any]:
    """
    Return the columns of a user.
    """
    totp = user.totp
    return {
        "id": user.id.bytes,
        "email": str(user.email),
        "username": str(user.username),
        "username_key": user.username.key,
        "password_hash": user.password_hash,
        "is_active": user.is_active,
        "is_verified": user.is_verified,
        "totp_key_id": totp.seed.key_id if totp else None,
        "totp_seed": totp.seed.ciphertext if totp else None,
        "totp_confirmed": totp.confirmed if totp else False,
        "totp_last_step": totp.last_step if totp else -1,
        "created_at": user.created_at,
        "last_login": user.last_login,
        "revision": user.revision,
    }


def from_row(row: Row[Any]) -> User:
    """
    Return the user of a row; values are not validated again.
    """
    totp = None
    if row.totp_seed is not None:
        totp = Totp(WrappedSecret(row.totp_key_id, row.totp_seed), row.totp_confirmed, row.totp_last_step)
    return User(
        id=UserId(UUID(bytes=row.id)),
        email=EmailAddress(row.email),
        username=Username(row.username),
        password_hash=row.password_hash,
        is_active=row.is_active,
        is_verified=row.is_verified,
        totp=totp,
        created_at=row.created_at,
        last_login=row.last_login,
        revision=row.revision,
    )


class SqlUsers(Repository):
    """
    Implements `sft_core.users.ports.UserRepository`.
    """

    def add(self, user: User) -> None:
        try:
            self.connection.execute(insert(users).values(to_row(user)))
        except IntegrityError:
            raise AlreadyRegistered from None

    def get(self, user_id: UserId) -> User | None:
        row = self.connection.execute(_GET, {"user": user_id.bytes}).one_or_none()
        return from_row(row) if row is not None else None

    def find(self, email: EmailAddress) -> User | None:
        row = self.connection.execute(select(users).where(users.c.email == str(email))).one_or_none()
        return from_row(row) if row is not None else None

    def save(self, user: User) -> User:
        saved = attrs.evolve(user, revision=user.revision + 1)
        unchanged = (users.c.id == user.id.bytes) & (users.c.revision == user.revision)
        if user.totp is not None and not self._is_stored(user.id, user.totp.seed):
            retired_keys.require_usable_key(self.connection, user.totp.seed)
        try:
            result = self.connection.execute(update(users).where(unchanged).values(to_row(saved)))
        except IntegrityError:
            raise AlreadyRegistered from None
        if result.rowcount != 1:
            raise Conflict
        return saved

    def _is_stored(self, user_id: UserId, seed: WrappedSecret) -> bool:
        # If exactly this seed is stored, saving it adds no secret.
        same = (users.c.totp_key_id == seed.key_id) & (users.c.totp_seed == seed.ciphertext)
        return self.connection.execute(select(users.c.id).where(users.c.id == user_id.bytes, same)).first() is not None

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        condition = (users.c.id == user_id.bytes) & users.c.is_active
        change: dict[str, Any] = {"last_login": at, "revision": users.c.revision + 1}
        if totp_step is None:
            condition &= ~users.c.totp_confirmed
        else:
            condition &= users.c.totp_seed.is_not(None) & (users.c.totp_last_step < totp_step)
            change["totp_last_step"] = totp_step
        return self.connection.execute(update(users).where(condition).values(change)).rowcount == 1
