"""
The resumable uploads in SQL, one row beside the row of each such file.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import uploads
from sft_core.values import FileId
from sft_core.vault.model import ResumableUpload, UploadKind

_ID_BYTES: Final = 16
_GET: Final = select(uploads).where(uploads.c.file_id == bindparam("file"))
_IS_WRITER: Final = update(uploads).where(
    uploads.c.file_id == bindparam("file"), uploads.c.writer == bindparam("expected_writer")
)


class SqlResumableUploads(Repository):
    """
    Implements `sft_core.vault.ports.ResumableUploads`.
    """

    def add(self, upload: ResumableUpload) -> None:
        row = {
            "file_id": upload.file_id.bytes,
            "kind": upload.kind.value,
            "length": upload.length,
            "is_public": upload.is_public,
            "metadata": upload.metadata,
            "sources": b"".join(source.bytes for source in upload.sources),
            "writer": upload.fencing_token,
        }
        self.connection.execute(insert(uploads).values(row))

    def get(self, file_id: FileId) -> ResumableUpload | None:
        row = self.connection.execute(_GET, {"file": file_id.bytes}).mappings().one_or_none()
        if row is None:
            return None
        ids = [row["sources"][start : start + _ID_BYTES] for start in range(0, len(row["sources"]), _ID_BYTES)]
        return ResumableUpload(
            file_id=file_id,
            kind=UploadKind(row["kind"]),
            length=row["length"],
            is_public=row["is_public"],
            metadata=row["metadata"],
            sources=tuple(FileId(UUID(bytes=each)) for each in ids),
            fencing_token=row["writer"],
        )

    def acquire(self, file_id: FileId) -> int | None:
        # A second caller waits for the row's lock and increments the first one's token.
        is_own = uploads.c.file_id == file_id.bytes
        change = update(uploads).where(is_own).values(writer=uploads.c.writer + 1).returning(uploads.c.writer)
        fencing_token = self.connection.execute(change).scalar_one_or_none()
        return None if fencing_token is None else int(fencing_token)

    def is_current(self, file_id: FileId, fencing_token: int) -> bool:
        # The update changes nothing, but locks the row: the next takeover waits until the unit ends.
        parameters = {"file": file_id.bytes, "expected_writer": fencing_token, "writer": fencing_token}
        return self.connection.execute(_IS_WRITER, parameters).rowcount == 1

    def set_length(self, file_id: FileId, length: int) -> bool:
        unknown = (uploads.c.file_id == file_id.bytes) & uploads.c.length.is_(None)
        return self.connection.execute(update(uploads).where(unknown).values(length=length)).rowcount == 1
