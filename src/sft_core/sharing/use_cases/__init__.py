"""
What callers can do with share links, and with requests that may be repeated: one frozen callable each.
"""

from sft_core.sharing.use_cases.find_idempotent_result import FindMade, IssueOnce, KeepAnswer, Made, SealOnce
from sft_core.sharing.use_cases.issue_share_link import (
    FindSharedFile,
    IssuedLink,
    IssueShareLink,
    RedeemShareLink,
    RevokeShareLink,
    SealAndShare,
    SummariseLinks,
)

__all__ = [
    "FindMade",
    "FindSharedFile",
    "IssueOnce",
    "IssueShareLink",
    "IssuedLink",
    "KeepAnswer",
    "Made",
    "RedeemShareLink",
    "RevokeShareLink",
    "SealAndShare",
    "SealOnce",
    "SummariseLinks",
]
