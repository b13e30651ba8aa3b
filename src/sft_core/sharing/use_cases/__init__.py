"""
Use cases of share links and idempotency keys; import them from this package.
"""

from sft_core.sharing.model import IssuedLink
from sft_core.sharing.use_cases.find_shared_file import FindSharedFile
from sft_core.sharing.use_cases.idempotency import FindIdempotentResult, IdempotentResult, RecordResult
from sft_core.sharing.use_cases.issue_share_link import IssueShareLink
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
