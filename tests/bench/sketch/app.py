"""
A file service as most are first written: FastAPI, sync endpoints, SQLAlchemy's ORM, whole files in memory.

It has the accounts, uploads, downloads and links of the contract with the same stores, and none of its guarantees: no
resumption, no exact limits, no sweep. The benchmark of requests uses it as its reference.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Annotated, Any
from urllib.parse import quote

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import APIRouter, Depends, FastAPI, File, HTTPException, Response, UploadFile
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt
from minio import Minio
from pydantic import BaseModel, ConfigDict, EmailStr
from redis import Redis
from sqlalchemy import ForeignKey, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

SECRET = os.environ["SECRET_KEY"]
MASTER = AESGCM(bytes.fromhex(os.environ["MASTER_KEY"]))
BUCKET = os.environ["MINIO_BUCKET_NAME"]

engine = create_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=20, pool_pre_ping=True)
open_session = sessionmaker(engine, autoflush=False)
redis = Redis.from_url(os.environ["REDIS_URL"])
minio = Minio(
    os.environ["MINIO_ENDPOINT"],
    access_key=os.environ["MINIO_ACCESS_KEY"],
    secret_key=os.environ["MINIO_SECRET_KEY"],
    region=os.environ["MINIO_REGION"],
    secure=False,
)
hasher = PasswordHasher()
oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")
router = APIRouter(prefix="/api/v1")


class Base(DeclarativeBase):
    """
    The base of the tables.
    """


class User(Base):
    """
    An account.
    """

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    email: Mapped[str] = mapped_column(unique=True, index=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    is_verified: Mapped[bool] = mapped_column(default=False)
    two_factor_enabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC).replace(tzinfo=None))
    last_login: Mapped[datetime | None]
    files: Mapped[list[StoredFile]] = relationship(back_populates="owner")


class StoredFile(Base):
    """
    A file with its link.
    """

    __tablename__ = "files"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    filename: Mapped[str]
    original_filename: Mapped[str]
    file_size: Mapped[int]
    mime_type: Mapped[str]
    object_name: Mapped[str]
    encryption_key: Mapped[bytes]
    nonce: Mapped[bytes]
    is_public: Mapped[bool] = mapped_column(default=False)
    share_token: Mapped[str | None] = mapped_column(unique=True, index=True)
    share_expires_at: Mapped[datetime | None]
    download_count: Mapped[int] = mapped_column(default=0)
    max_downloads: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC).replace(tzinfo=None))
    owner: Mapped[User] = relationship(back_populates="files")


class UserIn(BaseModel):
    """
    A registration.
    """

    email: EmailStr
    username: str
    password: str


class Login(BaseModel):
    """
    The credentials of a login.
    """

    email: str
    password: str


class Answer(BaseModel):
    """
    A body read from the attributes of a row.
    """

    model_config = ConfigDict(from_attributes=True)


class UserOut(Answer):
    """
    An account as shown to its user.
    """

    id: str
    email: str
    username: str
    is_active: bool
    is_verified: bool
    two_factor_enabled: bool
    created_at: datetime
    last_login: datetime | None


class FileOut(Answer):
    """
    A file as shown to its owner.
    """

    id: str
    filename: str
    original_filename: str
    file_size: int
    mime_type: str
    is_public: bool
    share_token: str | None
    share_expires_at: datetime | None
    download_count: int
    max_downloads: int | None
    created_at: datetime


def database() -> Iterator[Session]:
    session = open_session()
    try:
        yield session
    finally:
        session.close()


Database = Annotated[Session, Depends(database)]


def current_user(token: Annotated[str, Depends(oauth2)], session: Database) -> User:
    try:
        claims: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"])
    except JWTError:
        raise HTTPException(401, "Could not validate credentials") from None
    if claims.get("type") != "access" or redis.exists(f"revoked:{claims['jti']}"):
        raise HTTPException(401, "Could not validate credentials")
    user = session.query(User).filter(User.id == claims["sub"]).first()
    if user is None:
        raise HTTPException(401, "Could not validate credentials")
    if not user.is_active:
        raise HTTPException(403, "Inactive user")
    return user


Caller = Annotated[User, Depends(current_user)]


def token_for(user: User, kind: str, minutes: int) -> str:
    claims = {"sub": user.id, "type": kind, "jti": secrets.token_hex(16)}
    return str(jwt.encode(claims | {"exp": datetime.now(UTC) + timedelta(minutes=minutes)}, SECRET, algorithm="HS256"))


@router.post("/auth/register", status_code=201, response_model=UserOut)
def register(body: UserIn, session: Database) -> User:
    if session.query(User).filter((User.email == body.email) | (User.username == body.username)).first():
        raise HTTPException(400, "Email already registered")
    user = User(email=body.email, username=body.username, hashed_password=hasher.hash(body.password))
    session.add(user)
    session.commit()
    session.refresh(user)
    return user


@router.post("/auth/login")
def login(body: Login, session: Database) -> dict[str, str]:
    user = session.scalars(select(User).where(User.email == body.email)).one()
    hasher.verify(user.hashed_password, body.password)
    user.last_login = datetime.now(UTC).replace(tzinfo=None)
    session.commit()
    return {
        "access_token": token_for(user, "access", 30),
        "refresh_token": token_for(user, "refresh", 7 * 24 * 60),
        "token_type": "bearer",
    }


@router.get("/auth/me", response_model=UserOut)
def me(caller: Caller) -> User:
    return caller


@router.post("/files/upload", status_code=201, response_model=FileOut)
def upload(caller: Caller, session: Database, file: Annotated[UploadFile, File()]) -> StoredFile:
    content = file.file.read()
    key, nonce, name = AESGCM.generate_key(256), os.urandom(12), f"{caller.id}/{uuid.uuid4()}"
    sealed = AESGCM(key).encrypt(nonce, content, None)
    minio.put_object(BUCKET, name, BytesIO(sealed), len(sealed))
    wrapping = os.urandom(12)
    stored = StoredFile(
        owner_id=caller.id,
        filename=file.filename or "file",
        original_filename=file.filename or "file",
        file_size=len(content),
        mime_type=file.content_type or "application/octet-stream",
        object_name=name,
        encryption_key=wrapping + MASTER.encrypt(wrapping, key, None),
        nonce=nonce,
    )
    session.add(stored)
    session.commit()
    session.refresh(stored)
    return stored


@router.get("/files/", response_model=list[FileOut])
def files(caller: Caller, session: Database, skip: int = 0, limit: int = 100) -> list[StoredFile]:
    own = session.query(StoredFile).filter(StoredFile.owner_id == caller.id)
    return own.order_by(StoredFile.created_at.desc()).offset(skip).limit(limit).all()


def own_file(file_id: str, caller: User, session: Session) -> StoredFile:
    found = session.query(StoredFile).filter(StoredFile.id == file_id, StoredFile.owner_id == caller.id).first()
    if found is None:
        raise HTTPException(404, "File not found")
    return found


def content_of(file: StoredFile) -> Response:
    response = minio.get_object(BUCKET, file.object_name)
    try:
        sealed = response.read()
    finally:
        response.close()
        response.release_conn()
    key = MASTER.decrypt(file.encryption_key[:12], file.encryption_key[12:], None)
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.original_filename)}"}
    return Response(AESGCM(key).decrypt(file.nonce, sealed, None), media_type=file.mime_type, headers=headers)


@router.get("/files/shared/{token}")
def shared(token: str, session: Database) -> Response:
    file = session.query(StoredFile).filter(StoredFile.share_token == token).first()
    if file is None:
        raise HTTPException(404, "Share link not found")
    if file.share_expires_at is not None and file.share_expires_at < datetime.now(UTC).replace(tzinfo=None):
        raise HTTPException(410, "Share link has expired")
    if file.max_downloads is not None and file.download_count >= file.max_downloads:
        raise HTTPException(403, "Download limit reached")
    file.download_count += 1
    session.commit()
    return content_of(file)


@router.get("/files/{file_id}", response_model=FileOut)
def one(file_id: str, caller: Caller, session: Database) -> StoredFile:
    return own_file(file_id, caller, session)


@router.get("/files/{file_id}/download")
def download(file_id: str, caller: Caller, session: Database) -> Response:
    return content_of(own_file(file_id, caller, session))


@router.post("/files/{file_id}/share")
def share(file_id: str, caller: Caller, session: Database) -> dict[str, str]:
    file = own_file(file_id, caller, session)
    file.share_token, file.is_public = secrets.token_urlsafe(32), True
    file.share_expires_at = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=24)
    session.commit()
    return {"share_token": file.share_token}


app = FastAPI(title="Sketch")
app.include_router(router)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "healthy"}


def prepare() -> None:
    """
    Create the tables and the bucket, once, before the workers start.
    """
    Base.metadata.create_all(engine)
    if not minio.bucket_exists(BUCKET):
        minio.make_bucket(BUCKET)
