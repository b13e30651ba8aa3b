"""
What callers can do with share links, and with requests that may be repeated: one frozen callable each.

They are imported from here.
"""

from sft_core.sharing.link_tokens import IssuedLink
from sft_core.sharing.use_cases.find_idempotent_result import FindIdempotentResult, IdempotentResult
from sft_core.sharing.use_cases.find_shared_file import FindSharedFile
from sft_core.sharing.use_cases.issue_share_link import IssueShareLink
from sft_core.sharing.use_cases.record_result import RecordResult
from sft_core.sharing.use_cases.redeem_share_link import RedeemShareLink
from sft_core.sharing.use_cases.revoke_share_link import RevokeShareLink
from sft_core.sharing.use_cases.seal_upload import SealUpload
from sft_core.sharing.use_cases.summarise_links import SummariseLinks

__all__ = [
    "FindIdempotentResult",
    "FindSharedFile",
    "IdempotentResult",
    "IssueShareLink",
    "IssuedLink",
    "RecordResult",
    "RedeemShareLink",
    "RevokeShareLink",
    "SealUpload",
    "SummariseLinks",
]
