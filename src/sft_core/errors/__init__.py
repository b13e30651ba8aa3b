"""
The whole error tree: one class per cause, each with a stable code and one public sentence.

The tree is read top-down by kind: what was asked was wrong (`InvalidInput`), who asked was not
known (`NotAuthenticated`) or not allowed (`NotAllowed`), what was named is not there (`NotFound`,
`Gone`), it does not fit the present state (`Conflict`), the service cannot do it just now
(`Unavailable`), or what was stored is no longer what was stored (`Damaged`).

Adapters translate every driver's exception into this tree before it passes a port, so callers
never see a driver's text. `public` is safe to show to anyone; `detail` is safe for logs.

They are imported from here; the modules below sort them by kind.
"""

from sft_core.errors.callers import (
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
from sft_core.errors.requests import (
    Fault,
    FileTooLarge,
    FileTypeNotAllowed,
    IdempotencyKeyReused,
    InvalidFileName,
    InvalidInput,
    InvalidValue,
    QuotaExceeded,
    UploadIncomplete,
)
from sft_core.errors.root import (
    SftError,
)
from sft_core.errors.service import (
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
    Unavailable,
    UnknownKey,
    UnwrapFailed,
)
from sft_core.errors.things import (
    AlreadyRegistered,
    BlobExists,
    Conflict,
    FileNotFound,
    Gone,
    IdempotencyKeyInUse,
    LengthAnnounced,
    LinkExpired,
    LinkNotFound,
    LinkRevoked,
    NotFound,
    OffsetMismatch,
    PartialUnfinished,
    ResultGone,
    TotpAlreadyEnabled,
    TotpNotEnabled,
    TotpNotStarted,
    UploadAborted,
    UploadTakenOver,
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
    "Fault",
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
    "LengthAnnounced",
    "LinkExpired",
    "LinkNotFound",
    "LinkRevoked",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "OffsetMismatch",
    "PartialUnfinished",
    "QuotaExceeded",
    "ResultGone",
    "RowDamaged",
    "SftError",
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
    "UploadTakenOver",
]
