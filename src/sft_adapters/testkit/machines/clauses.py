"""
The clauses that the state machines check, each with a stable name.
"""

from __future__ import annotations

import enum


class Clause(enum.Enum):
    """
    A property that must hold after any history.

    Its name is stable; its value, a sentence, explains it.
    """

    # --- a blob store
    BLOB_IS_WHOLE = "a stored blob is read back byte for byte, from any offset"
    BLOB_IS_PUT_ONCE = "a put of an existing key is refused, and its blob is unchanged"
    BLOB_HAS_ITS_SIZE = "a put or a read with another size than the blob's is refused"
    FAILED_PUT_LEAVES_NOTHING = "a put whose pieces raise or have another size stores nothing, and the key stays free"
    BLOB_IS_MISSING = "a blob that was never stored, or was deleted, is missing"
    LISTING_IS_EXACT = "a listing contains every blob of its prefix with its size, and nothing else"
    ONE_PUT_WINS = "of several concurrent puts of one key exactly one succeeds, and its content is stored unmixed"

    # --- a whole system
    ACCOUNT_IS_ONE = "an e-mail address and a user name belong to one account, in any letter case"
    SIGN_IN_IS_PROVED = "a sign-in needs the password and, if it is enabled, the second factor"
    CODE_IS_SPENT = "a one-time code is of the present or a neighbouring step, and is accepted once"
    SECOND_FACTOR_HAS_STAGES = "a second factor is set up, confirmed and disabled, in that order only"
    TOKEN_IS_GOOD_FOR_A_TIME = "an access token is valid until it or its session expires or is revoked"  # noqa: S105 (a sentence)
    REFRESH_IS_FOR_ONE_EXCHANGE = "a refresh token is exchanged once; a second use revokes its whole family"
    STORED_IS_KEPT = "a stored file keeps its exact content and metadata until it is deleted"
    RANGE_IS_THE_SLICE = "a range of a file is exactly those bytes of it"
    LISTED_IS_OWNED = "a listing contains the caller's own files, newest first, and no others"
    DELETED_IS_GONE = "a deleted file and its links are reported like ones that never existed"
    OTHERS_ARE_ABSENT = "another user's files and links are reported like ones that do not exist"
    LINK_LEADS_TO_ITS_FILE = "a live link grants its file's exact content; an unknown link grants nothing"
    LINK_HAS_AN_END = "a link grants nothing from its expiry or its revocation on"
    BUDGET_IS_EXACT = "a link grants exactly its download budget, under any load; a metadata request consumes none"
    DOWNLOADS_ARE_COUNTED = "a file's download count is the number of downloads that its links granted"
    QUOTA_IS_EXACT = "a user can store exactly the quota, under any load; deleting a file frees its bytes"
    CRASH_LOSES_NOTHING = "every change acknowledged before a crash is present after it"


class BrokenClause(AssertionError):
    """
    Raised when a clause does not hold.

    `clause` is the violated clause; the message describes what was observed.
    """

    def __init__(self, clause: Clause, seen: str) -> None:
        super().__init__(f"{clause.name}: {clause.value}; but {seen}")
        self.clause = clause
