"""
The error tree: one class, stable code and public sentence for each cause.

The kinds: invalid input (`InvalidInput`), missing authentication (`NotAuthenticated`) or permission
(`NotAllowed`), a missing object (`NotFound`) or a deleted or expired one (`Gone`), a conflict with the
present state (`Conflict`), a temporary failure of the service (`Unavailable`), and stored data
that changed after they were stored (`Damaged`).

Adapters translate every driver's exception into this tree before it passes a port, so callers
never see a driver's text. `public` may be shown to every caller; `detail` is for logs.

Import errors from this package; its modules sort them by kind.
"""

from sft_core.errors.access import (
    BadCredentials,
    BadToken,
    BadTotpCode,
    DownloadLimitReached,
    InactiveUser,
    NotAllowed,
    NotAuthenticated,
    TooManyAttempts,
    TotpRequired,
    UploadIsFinal,
)
from sft_core.errors.base import SftError
from sft_core.errors.failures import (
    AuthenticationFailed,
    BlobMissing,
    BlobSizeMismatch,
    BlobStoreFull,
    BlobStoreUnavailable,
    Busy,
    ConfigurationError,
    Damaged,
    DatabaseUnavailable,
    KeyRetired,
    RowDamaged,
    StoreMismatch,
    Unavailable,
    UnknownKey,
    UnwrapFailed,
)
from sft_core.errors.state import (
    AlreadyRegistered,
    BlobExists,
    Conflict,
    FileNotFound,
    Gone,
    IdempotencyKeyInUse,
    LinkExpired,
    LinkNotFound,
    LinkRevoked,
    NotFound,
    OffsetMismatch,
    PartialUploadIncomplete,
    ResultGone,
    TotpAlreadyEnabled,
    TotpNotEnabled,
    TotpNotStarted,
    UploadAborted,
    UploadLengthConflict,
    UploadTakenOver,
)
from sft_core.errors.validation import (
    FieldError,
    FileTooLarge,
    FileTypeNotAllowed,
    IdempotencyKeyReused,
    InvalidFileName,
    InvalidInput,
    InvalidValue,
    QuotaExceeded,
    UploadIncomplete,
)

__all__ = [
    "AlreadyRegistered",
    "AuthenticationFailed",
    "BadCredentials",
    "BadToken",
    "BadTotpCode",
    "BlobExists",
    "BlobMissing",
    "BlobSizeMismatch",
    "BlobStoreFull",
    "BlobStoreUnavailable",
    "Busy",
    "ConfigurationError",
    "Conflict",
    "Damaged",
    "DatabaseUnavailable",
    "DownloadLimitReached",
    "FieldError",
    "FileNotFound",
    "FileTooLarge",
    "FileTypeNotAllowed",
    "Gone",
    "IdempotencyKeyInUse",
    "IdempotencyKeyReused",
    "InactiveUser",
    "InvalidFileName",
    "InvalidInput",
    "InvalidValue",
    "KeyRetired",
    "LinkExpired",
    "LinkNotFound",
    "LinkRevoked",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "OffsetMismatch",
    "PartialUploadIncomplete",
    "QuotaExceeded",
    "ResultGone",
    "RowDamaged",
    "SftError",
    "StoreMismatch",
    "TooManyAttempts",
    "TotpAlreadyEnabled",
    "TotpNotEnabled",
    "TotpNotStarted",
    "TotpRequired",
    "Unavailable",
    "UnknownKey",
    "UnwrapFailed",
    "UploadAborted",
    "UploadIncomplete",
    "UploadIsFinal",
    "UploadLengthConflict",
    "UploadTakenOver",
]
