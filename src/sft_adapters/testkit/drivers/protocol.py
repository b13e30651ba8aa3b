"""
The driver protocol: operations of a file transfer with plain values and one error type.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import attrs


class Refused(Exception):
    """
    Raised when the system refuses an operation; `code` is a stable code of `sft_core.errors`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@attrs.frozen
class Tokens:
    """
    The access token and refresh token of a sign-in or an exchange.
    """

    access: str = attrs.field(repr=False)
    refresh: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class SeenFile:
    """
    A file as its owner sees it.

    `downloads` is the sum over all its links, `token` that of its newest live link. `size` is in bytes.
    """

    id: str
    name: str
    media_type: str
    size: int
    downloads: int
    token: str | None


class Driver(Protocol):
    """
    A system with users, files and links.

    An operation returns plain values or raises `Refused`. Operations may be called by several threads
    concurrently. Times are in UTC, sizes in bytes.
    """

    @property
    def can_advance_clock(self) -> bool:
        """
        Whether `advance` may be called, and the clock moves only by it.
        """
        ...

    @property
    def can_crash(self) -> bool:
        """
        Whether `crash` may be called.
        """
        ...

    @property
    def can_revoke_links(self) -> bool:
        """
        Whether `revoke` may be called.
        """
        ...

    @property
    def may_throttle(self) -> bool:
        """
        Whether an authentication may be refused with `too-many-attempts`, without any effect.
        """
        ...

    @property
    def access_lifetime(self) -> timedelta:
        """
        The lifetime of an access token.
        """
        ...

    @property
    def refresh_lifetime(self) -> timedelta:
        """
        The lifetime of a refresh token, and of a session that is not refreshed.
        """
        ...

    def register(self, *, email: str, username: str, password: str) -> str:
        """
        Create an account and return its user's id.
        """
        ...

    def sign_in(self, *, email: str, password: str, code: str | None = None) -> Tokens:
        """
        Authenticate a user, with a one-time code if the account requires one.
        """
        ...

    def refresh(self, refresh: str) -> Tokens:
        """
        Exchange a refresh token for new tokens.
        """
        ...

    def who(self, access: str) -> str:
        """
        Return the id of the user of an access token.
        """
        ...

    def set_up_totp(self, access: str) -> str:
        """
        Start a two-factor set-up and return its seed in base32.
        """
        ...

    def confirm_totp(self, access: str, code: str) -> None:
        """
        Confirm the set-up with its first code, which enables the second factor.
        """
        ...

    def disable_totp(self, access: str, code: str) -> None:
        """
        Disable the second factor.
        """
        ...

    def store(self, access: str, *, name: str, media_type: str, content: bytes) -> str:
        """
        Store a file and return its id.
        """
        ...

    def list_files(self, access: str, *, skip: int, limit: int) -> Sequence[SeenFile]:
        """
        Return a page of the caller's files, newest first.
        """
        ...

    def find(self, access: str, file_id: str) -> SeenFile:
        """
        Return one of the caller's files.
        """
        ...

    def read(self, access: str, file_id: str, *, start: int = 0, stop: int | None = None) -> bytes:
        """
        Return the bytes of a file from `start` up to, but not including, `stop`.

        By default it is the whole file. A range contains at least one byte of the file; a `stop` beyond the end
        means the end.
        """
        ...

    def delete(self, access: str, file_id: str) -> None:
        """
        Delete a file and its links.
        """
        ...

    def share(self, access: str, file_id: str, *, hours: int | None = None, downloads: int | None = None) -> str:
        """
        Create a link and return its token.

        By default it lasts 24 hours and has no download budget.
        """
        ...

    def look(self, token: str) -> int:
        """
        Return the size in bytes of a link's file, without consuming a download.
        """
        ...

    def redeem(self, token: str) -> bytes:
        """
        Consume one download of a link and return the whole file.
        """
        ...

    def revoke(self, access: str, token: str) -> None:
        """
        Revoke one of the caller's links.
        """
        ...

    def now(self) -> datetime:
        """
        Return the current time of the system's clock.
        """
        ...

    def advance(self, seconds: int) -> None:
        """
        Advance the system's clock by seconds.
        """
        ...

    def crash(self) -> None:
        """
        Kill the system and restart it on its durable state.
        """
        ...

    def close(self) -> None:
        """
        Close the driver's resources; it is not used afterwards.
        """
        ...
