"""
Wire schemas: the bodies of requests, and entities as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import attrs
from cattrs import ClassValidationError, Converter

from sft_core.errors import FieldError, InvalidInput, InvalidValue
from sft_core.sharing.model import LinkSummary
from sft_core.sharing.use_cases import IssuedLink
from sft_core.users.model import User
from sft_core.users.use_cases import Tokens
from sft_core.values import EmailAddress, Password, Username
from sft_core.vault.model import File

T = TypeVar("T")

_MAX_TEXT: Final = 4096


class SignInPassword(Password):
    """
    A password at sign-in, to which the rules for new passwords do not apply.
    """


@attrs.frozen(kw_only=True)
class Registration:
    """
    POST /auth/register.
    """

    email: EmailAddress
    username: Username
    password: Password


@attrs.frozen(kw_only=True)
class Login:
    """
    POST /auth/login.
    """

    email: EmailAddress
    password: SignInPassword
    totp_code: str | None = None


@attrs.frozen(kw_only=True)
class Refresh:
    """
    POST /auth/refresh.
    """

    refresh_token: str


@attrs.frozen(kw_only=True)
class TotpCode:
    """
    POST /auth/2fa/verify and DELETE /auth/2fa/disable.
    """

    totp_code: str


@attrs.frozen(kw_only=True)
class Share:
    """
    POST /files/{id}/share.
    """

    expires_hours: int | None = None
    max_downloads: int | None = None


@attrs.frozen(kw_only=True)
class Expiry:
    """
    PATCH /files/{id}.
    """

    expires_hours: int | None


def _text(value: object, _type: type) -> str:
    if not isinstance(value, str):
        raise InvalidValue("", "must be a string")
    if len(value) > _MAX_TEXT:
        raise InvalidValue("", f"must have at most {_MAX_TEXT} characters")
    return value


def _whole(value: object, _type: type) -> int:
    if type(value) is not int:
        raise InvalidValue("", "must be a whole number")
    return value


_CONVERTER: Final = Converter()
_CONVERTER.register_structure_hook(str, _text)
_CONVERTER.register_structure_hook(int, _whole)
_CONVERTER.register_structure_hook(EmailAddress, lambda value, _: EmailAddress.parse(value))
_CONVERTER.register_structure_hook(Username, lambda value, _: Username.parse(value))
_CONVERTER.register_structure_hook(Password, lambda value, _: Password.parse(value))
_CONVERTER.register_structure_hook(SignInPassword, lambda value, _: SignInPassword.for_sign_in(value))


def structure(body: Mapping[str, Any], shape: type[T]) -> T:
    """
    Convert a request's body to its schema; unknown fields are ignored.

    Raises `InvalidInput`, which names each field that is missing or wrong.
    """
    try:
        return _CONVERTER.structure(body, shape)
    except ClassValidationError as group:
        of_fields, of_body = group.group_exceptions()
        faults = [(error, note.name) for error, note in of_fields] + [(error, "body") for error in of_body]
        raise InvalidInput(*(_fault(error, name) for error, name in faults)) from None


def _fault(error: Exception, name: str) -> FieldError:
    if isinstance(error, InvalidInput):
        return FieldError(name, error.errors[0].message)
    return FieldError(name, "is missing" if isinstance(error, KeyError) else "is not valid")


# --- responses ---------------------------------------------------------------------------------


def timestamp(moment: datetime) -> str:
    """
    A time in RFC 3339 format, in UTC.
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def user_json(user: User) -> dict[str, Any]:
    """
    A user, as returned to that user.
    """
    return {
        "id": str(user.id),
        "email": str(user.email),
        "username": str(user.username),
        "is_active": user.is_active,
        "is_verified": user.is_verified,
        "two_factor_enabled": user.two_factor_enabled,
        "created_at": timestamp(user.created_at),
        "last_login": timestamp(user.last_login) if user.last_login else None,
    }


def tokens_json(tokens: Tokens) -> dict[str, Any]:
    """
    The tokens of a session (RFC 6749, section 5.1).
    """
    return {"access_token": tokens.access, "refresh_token": tokens.refresh, "token_type": "bearer"}


def file_json(file: File, links: LinkSummary) -> dict[str, Any]:
    """
    A file with its newest valid link, as returned to its owner.
    """
    link, token, end = links.current, links.token, file.expires_at
    shared_until = min(filter(None, [link.expires_at, end])) if link else None
    found = {
        "id": str(file.id),
        "filename": str(file.name),
        "original_filename": str(file.original_name),
        "file_size": file.size,
        "mime_type": str(file.media_type),
        "is_public": link is not None,
        "share_token": token.encode() if token else None,
        "share_expires_at": timestamp(shared_until) if shared_until else None,
        "download_count": links.downloads,
        "max_downloads": link.max_downloads if link else file.terms.max_downloads,
        "created_at": timestamp(file.created_at),
    }
    return found if end is None else {**found, "expires_at": timestamp(end)}


def share_json(issued: IssuedLink, prefix: str) -> dict[str, Any]:
    """
    A new link: its path, its token, its expiry.
    """
    token = issued.token.encode()
    return {
        "share_url": f"{prefix}/files/shared/{token}",
        "share_token": token,
        "expires_at": timestamp(issued.link.expires_at),
    }
