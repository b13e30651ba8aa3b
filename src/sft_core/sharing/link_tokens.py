"""
Tokens of share links: how a link is found by its token, and how its owner sees the token again.
"""

from __future__ import annotations

import hashlib

import attrs

from sft_core.ports import KeyRing
from sft_core.sharing.model import LINK_TOKEN_PURPOSE, ShareLink
from sft_core.values import ShareToken


@attrs.frozen(kw_only=True)
class IssuedLink:
    """
    A new link together with its token.
    """

    link: ShareLink
    token: ShareToken


def digest(token: ShareToken) -> bytes:
    """
    The SHA-256 digest by which a link is found; no slow hash is needed for 256 random bits.
    """
    return hashlib.sha256(token.reveal()).digest()


def reveal(keyring: KeyRing, link: ShareLink) -> ShareToken | None:
    """
    The link's token, for its owner; None if it was destroyed, long after the link had expired or was revoked.
    """
    if link.token is None:
        return None
    secret = keyring.unwrap(link.token, purpose=LINK_TOKEN_PURPOSE, context=link.id.bytes)
    return ShareToken(secret.reveal())
