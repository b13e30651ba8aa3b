"""
Findings of the integrity check, with one code for each kind of damage.
"""

from __future__ import annotations

import enum

import attrs


class Damage(enum.Enum):
    """
    A kind of damage. The value is its code, which never changes once released.
    """

    MISSING_PART = "missing-part"
    SHORT_PART = "short-part"
    LONG_PART = "long-part"
    ALTERED_PART = "altered-part"
    FOREIGN_PART = "foreign-part"
    OLDER_PART = "older-part"
    ORPHAN_PART = "orphan-part"
    MISPLACED_PART = "misplaced-part"
    DANGLING_ROW = "dangling-row"
    DAMAGED_ROW = "damaged-row"
    INCOMPLETE_MANIFEST = "incomplete-manifest"
    ALTERED_MANIFEST = "altered-manifest"
    WRONG_FILE_KEY = "wrong-file-key"
    WRONG_WRAPPED_SECRET = "wrong-wrapped-secret"  # noqa: S105 (a code, no secret)
    UNKNOWN_KEY_ID = "unknown-key-id"
    QUOTA_DRIFT = "quota-drift"
    STUCK_UPLOAD = "stuck-upload"
    UNFINISHED_REMOVAL = "unfinished-removal"


@attrs.frozen
class Finding:
    """
    One problem: its kind, its row or blob, a sentence, and whether it was repaired.

    No field contains text from a user, or a secret.
    """

    damage: Damage
    subject: str
    detail: str
    is_repaired: bool = False
