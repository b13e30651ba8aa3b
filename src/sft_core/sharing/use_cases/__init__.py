"""
Use cases of share links and idempotency keys, one frozen callable each; import them from this package.
"""

from sft_core.sharing.model import IssuedLink
from sft_core.sharing.use_cases.idempotency import FindIdempotentResult, IdempotentResult, RecordResult
from sft_core.sharing.use_cases.issue_share_link import IssueShareLink
from sft_core.sharing.use_cases.seal_upload import SealUpload
from sft_core.sharing.use_cases.share_links import FindSharedFile, RedeemShareLink, RevokeShareLink, SummariseLinks

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
