"""
The verbs of a file transfer, with plain values in and out and one error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import attrs


class Refused(Exception):
    """
    The system did not do it; `code` is that of `sft_core.errors`, which never changes.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@attrs.frozen
class Tokens:
    """
    What a sign-in or an exchange hands out.
    """

    access: str = attrs.field(repr=False)
    refresh: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class SeenFile:
    """
    A file as its owner sees it: `downloads` of all its links, `token` of the newest live one.
    """

    id: str
    name: str
    media_type: str
    size: int
    downloads: int
    token: str | None


class Driver(Protocol):
    """
    A system with users, files and links. A verb returns plain values or raises `Refused`.

    Verbs may be called by several threads at once. Times are in UTC, sizes in bytes.
    """

    @property
    def can_advance_clock(self) -> bool:
        """
        Whether the clock stands still until `advance` moves it.
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
        Whether a verb that proves something may be `too-many-attempts`, doing nothing.
        """
        ...

    @property
    def access_lifetime(self) -> timedelta:
        """
        How long an access token is good for.
        """
        ...

    @property
    def refresh_lifetime(self) -> timedelta:
        """
        How long a refresh token and a session that is not refreshed are good for.
        """
        ...

    def register(self, *, email: str, username: str, password: str) -> str:
        """
        Create an account and return its user's id.
        """
        ...

    def sign_in(self, *, email: str, password: str, code: str | None = None) -> Tokens:
        """
        Prove who one is, with a one-time code where the account asks for it.
        """
        ...

    def refresh(self, refresh: str) -> Tokens:
        """
        Exchange a refresh token.
        """
        ...

    def who(self, access: str) -> str:
        """
        The id of the user who bears an access token.
        """
        ...

    def set_up_totp(self, access: str) -> str:
        """
        Begin a two-factor set-up and return its seed in base32.
        """
        ...

    def confirm_totp(self, access: str, code: str) -> None:
        """
        Put the set-up into force with its first code.
        """
        ...

    def disable_totp(self, access: str, code: str) -> None:
        """
        Switch two-factor sign-in off.
        """
        ...

    def store(self, access: str, *, name: str, media_type: str, content: bytes) -> str:
        """
        Store a file and return its id.
        """
        ...

    def list_files(self, access: str, *, skip: int, limit: int) -> Sequence[SeenFile]:
        """
        A page of the caller's files, newest first.
        """
        ...

    def find(self, access: str, file_id: str) -> SeenFile:
        """
        One of the caller's files.
        """
        ...

    def read(self, access: str, file_id: str, *, start: int = 0, stop: int | None = None) -> bytes:
        """
        The bytes of a file from `start` up to and not including `stop`; the whole file by default.

        A range holds at least one byte of the file; a `stop` beyond its end is its end.
        """
        ...

    def delete(self, access: str, file_id: str) -> None:
        """
        Destroy a file and its links.
        """
        ...

    def share(self, access: str, file_id: str, *, hours: int | None = None, downloads: int | None = None) -> str:
        """
        Make a link and return its token; by default it lasts 24 hours and has no budget.
        """
        ...

    def look(self, token: str) -> int:
        """
        The size of the file that a link leads to, spending nothing.
        """
        ...

    def redeem(self, token: str) -> bytes:
        """
        Spend one download of a link and return the whole file.
        """
        ...

    def revoke(self, access: str, token: str) -> None:
        """
        Withdraw one of the caller's links.
        """
        ...

    def now(self) -> datetime:
        """
        The moment by the system's clock.
        """
        ...

    def advance(self, seconds: int) -> None:
        """
        Move the system's clock on.
        """
        ...

    def crash(self) -> None:
        """
        Stop the system in its tracks and start it again on what it had made durable.
        """
        ...

    def close(self) -> None:
        """
        Give up what the driver holds; the driver is not used again.
        """
        ...
