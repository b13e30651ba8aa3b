"""
What the machines hold a system to, clause by clause, each by its name.
"""

from __future__ import annotations

import enum


class Clause(enum.Enum):
    """
    One thing that must hold, whatever happened before; the name is stable, the sentence explains it.
    """

    # --- a blob store
    BLOB_IS_WHOLE = "what was put is read back byte for byte, from anywhere"
    BLOB_IS_PUT_ONCE = "a taken key is refused, and its blob stays as it is"
    BLOB_HAS_ITS_SIZE = "a put or a read of another size than the blob's is refused"
    FAILED_PUT_LEAVES_NOTHING = "pieces that raise or do not add up store nothing, and the key stays free"
    BLOB_IS_MISSING = "what was never put, or was deleted, is missing"
    LISTING_IS_EXACT = "a listing tells every blob of its prefix with its size, and nothing else"
    ONE_PUT_WINS = "of several puts of one key at once exactly one succeeds, and its content is there unmixed"

    # --- a whole system
    ACCOUNT_IS_ONE = "an address and a name belong to one account, in any case of letters"
    SIGN_IN_IS_PROVED = "who signs in knows the password and, where it is in force, has the second factor"
    CODE_IS_SPENT = "a one-time code is of the present or a neighbouring step, and proves something once"
    SECOND_FACTOR_HAS_STAGES = "a second factor is set up, confirmed, switched off, and in that order only"
    TOKEN_IS_GOOD_FOR_A_TIME = "an access token is good until its end, or its session's, and not after"  # noqa: S105 (a sentence)
    REFRESH_IS_FOR_ONE_EXCHANGE = "a refresh token is exchanged once; a second use ends its whole family"
    STORED_IS_KEPT = "what was stored is there with its exact content until it is deleted"
    RANGE_IS_THE_SLICE = "a range of a file is exactly those bytes of it"
    LISTED_IS_OWNED = "a listing tells the caller's files, newest first, and nobody else's"
    DELETED_IS_GONE = "what was deleted, and every link to it, is as if it had never been"
    OTHERS_ARE_ABSENT = "another's things are absent, as if they were not there"
    LINK_LEADS_TO_ITS_FILE = "a live link grants its file's exact content; an unknown one leads nowhere"
    LINK_HAS_AN_END = "a link ends with its time or its revocation, to the moment"
    BUDGET_IS_EXACT = "a link gives exactly as many downloads as it has, under any load; a look spends none"
    DOWNLOADS_ARE_COUNTED = "a file's count is the number of downloads that its links granted"
    QUOTA_IS_EXACT = "a person's files hold as much as they may and no more, under any load; a deletion gives it back"
    CRASH_LOSES_NOTHING = "what was acknowledged before a crash is there after it"


class BrokenClause(AssertionError):
    """
    A clause does not hold. `clause` says which one; the text says what was seen.
    """

    def __init__(self, clause: Clause, seen: str) -> None:
        super().__init__(f"{clause.name}: {clause.value}; but {seen}")
        self.clause = clause
