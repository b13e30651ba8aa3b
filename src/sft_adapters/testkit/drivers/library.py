"""
A driver of the library in this process, through its use cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

import attrs

from sft_adapters.testkit.drivers.protocol import Refused, SeenFile, Tokens
from sft_core.application import Application
from sft_core.errors import SftError
from sft_core.sharing.model import LinkSummary
from sft_core.users.model import TokenLifetimes, User
from sft_core.values import (
    ByteRange,
    EmailAddress,
    FileId,
    FileName,
    MediaType,
    Page,
    Password,
    ShareToken,
    UserId,
    Username,
)
from sft_core.vault.model import File


class ManualClock(Protocol):
    """
    A clock that moves only when it is advanced, like `sft_adapters.memory.clock.SettableClock`.
    """

    def now(self) -> datetime:
        """
        Return the time the clock is set to.
        """
        ...

    def advance(self, *, seconds: float) -> None:
        """
        Advance the clock by seconds.
        """
        ...


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except SftError as error:
        raise Refused(error.code) from error


@attrs.define(kw_only=True)
class LibraryDriver:
    """
    A `Driver` of an application that uses `clock`.

    `reopen` drops the application and returns another one on the same data, as after a crash; without it the
    driver cannot crash. `closing` closes the last application's resources.
    """

    application: Application
    clock: ManualClock
    reopen: Callable[[], Application] | None = None
    closing: Callable[[], object] | None = None
    lifetimes: TokenLifetimes = attrs.field(factory=TokenLifetimes)
    can_advance_clock: bool = attrs.field(default=True, init=False)
    can_revoke_links: bool = attrs.field(default=True, init=False)
    may_throttle: bool = False

    @property
    def can_crash(self) -> bool:
        return self.reopen is not None

    @property
    def access_lifetime(self) -> timedelta:
        return self.lifetimes.access

    @property
    def refresh_lifetime(self) -> timedelta:
        return self.lifetimes.refresh

    def register(self, *, email: str, username: str, password: str) -> str:
        with _map_errors():
            user = self.application.users.register_user(
                email=EmailAddress.parse(email),
                username=Username.parse(username),
                password=Password.parse(password),
            )
        return str(user.id)

    def sign_in(self, *, email: str, password: str, code: str | None = None) -> Tokens:
        with _map_errors():
            tokens = self.application.users.sign_in(
                email=EmailAddress.parse(email), password=Password.for_sign_in(password), totp_code=code
            )
        return Tokens(tokens.access, tokens.refresh)

    def refresh(self, refresh: str) -> Tokens:
        with _map_errors():
            tokens = self.application.users.refresh_session(refresh_token=refresh)
        return Tokens(tokens.access, tokens.refresh)

    def _authenticated_user(self, access: str) -> User:
        return self.application.users.authenticate(access_token=access).user

    def who(self, access: str) -> str:
        with _map_errors():
            return str(self._authenticated_user(access).id)

    def set_up_totp(self, access: str) -> str:
        with _map_errors():
            return self.application.users.set_up_totp(user=self._authenticated_user(access)).seed.reveal().decode()

    def confirm_totp(self, access: str, code: str) -> None:
        with _map_errors():
            self.application.users.confirm_totp(user=self._authenticated_user(access), code=code)

    def disable_totp(self, access: str, code: str) -> None:
        with _map_errors():
            self.application.users.disable_totp(user=self._authenticated_user(access), code=code)

    def store(self, access: str, *, name: str, media_type: str, content: bytes) -> str:
        with _map_errors():
            file = self.application.vault.store_file(
                owner=self._authenticated_user(access).id,
                name=FileName.parse(name),
                media_type=MediaType.parse(media_type),
                content=[content],
            )
        return str(file.id)

    def list_files(self, access: str, *, skip: int, limit: int) -> Sequence[SeenFile]:
        with _map_errors():
            files = self.application.vault.list_files(
                owner=self._authenticated_user(access).id, page=Page(skip=skip, limit=limit)
            )
            links = self.application.sharing.summarise_links(files)
        return [_seen_file(file, links[file.id]) for file in files]

    def _owned_file(self, access: str, file_id: str) -> tuple[UserId, File]:
        owner = self._authenticated_user(access).id
        return owner, self.application.vault.find_file(owner=owner, file_id=FileId.parse(file_id))

    def find(self, access: str, file_id: str) -> SeenFile:
        with _map_errors():
            _, file = self._owned_file(access, file_id)
            return _seen_file(file, self.application.sharing.summarise_links([file])[file.id])

    def read(self, access: str, file_id: str, *, start: int = 0, stop: int | None = None) -> bytes:
        with _map_errors():
            _, file = self._owned_file(access, file_id)
            span = None if stop is None else ByteRange(start, stop)
            return b"".join(map(bytes, self.application.vault.read_file(file, span)))

    def delete(self, access: str, file_id: str) -> None:
        with _map_errors():
            self.application.vault.delete_file(owner=self._authenticated_user(access).id, file_id=FileId.parse(file_id))

    def share(self, access: str, file_id: str, *, hours: int | None = None, downloads: int | None = None) -> str:
        with _map_errors():
            issued = self.application.sharing.issue_share_link(
                owner=self._authenticated_user(access).id,
                file_id=FileId.parse(file_id),
                expires_hours=hours,
                max_downloads=downloads,
            )
        return issued.token.encode()

    def look(self, token: str) -> int:
        with _map_errors():
            _, file = self.application.sharing.find_shared_file(token=ShareToken.parse(token))
        return file.size

    def redeem(self, token: str) -> bytes:
        with _map_errors():
            file = self.application.sharing.redeem_share_link(token=ShareToken.parse(token))
            return b"".join(map(bytes, self.application.vault.read_file(file)))

    def revoke(self, access: str, token: str) -> None:
        with _map_errors():
            self.application.sharing.revoke_share_link(
                owner=self._authenticated_user(access).id, token=ShareToken.parse(token)
            )

    def now(self) -> datetime:
        return self.clock.now()

    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    def crash(self) -> None:
        if self.reopen is None:
            raise RuntimeError("This driver cannot crash the library: pass reopen.")
        self.application = self.reopen()

    def close(self) -> None:
        if self.closing is not None:
            self.closing()


def _seen_file(file: File, links: LinkSummary) -> SeenFile:
    return SeenFile(
        id=str(file.id),
        name=str(file.name),
        media_type=str(file.media_type),
        size=file.size,
        downloads=links.downloads,
        token=links.token.encode() if links.token is not None else None,
    )
