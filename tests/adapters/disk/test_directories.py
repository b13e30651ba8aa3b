"""
Folders created at the first start survive a power cut.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sft_adapters.bootstrap import configuration, storage
from sft_adapters.disk import directories, key_files


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """
    The synced files and folders, together with the entries that a synced folder had at that time.
    """
    synced_paths: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced_paths.extend([path, *path.iterdir()] if path.is_dir() else [path])

    monkeypatch.setattr(os, "fsync", fsync)
    return synced_paths


def test_folder_is_durable_with_its_parents(tmp_path: Path, synced: list[Path]) -> None:
    """Each new name is synced in its parent folder, and the last folder is accessible to its owner only."""
    folder = tmp_path / "a" / "b" / "c"
    for _ in range(2):
        directories.make(folder)
        assert set(synced) >= {tmp_path / "a", tmp_path / "a" / "b", folder}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """A file in place of the folder raises FileExistsError."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        directories.make(tmp_path / "file")


def test_first_start_creates_durable_folders(tmp_path: Path, synced: list[Path]) -> None:
    """Data folder, keys with their folder and blob folder are all synced, because losing one makes files unreadable."""
    data = tmp_path / "some" / "data"
    settings = configuration.settings_for(data)
    storage.prepare(settings)
    keys = data / "keys"
    created = {tmp_path / "some", data, keys, *keys.iterdir(), settings.blob_folder}
    assert set(synced) >= created


def test_existing_key_is_made_durable(tmp_path: Path, synced: list[Path]) -> None:
    """The process that created the key may have been killed before the name was synced."""
    (tmp_path / "encryption.key").write_text("made by somebody who is gone")
    key_files.create_missing(tmp_path, ["ENCRYPTION_KEY"], may_create=lambda: False)
    assert tmp_path in synced


@pytest.mark.parametrize("kind", ["first", "next", "elsewhere"])
def test_key_bytes_are_synced_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A key file that is empty after a power cut would be a lost key."""
    create: dict[str, Callable[[], object]] = {
        "first": lambda: key_files.create_missing(tmp_path, ["ENCRYPTION_KEY"], may_create=lambda: True),
        "next": lambda: key_files.rotate_active(tmp_path, "0123456789abcdef"),
        "elsewhere": lambda: key_files.generate(tmp_path / "encryption.key"),
    }
    if kind == "next":
        key_files.create_missing(tmp_path, ["ENCRYPTION_KEY"], may_create=lambda: True)
    unnamed: dict[int, bytes] = {}
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.startswith("."):
            unnamed[path.stat().st_ino] = path.read_bytes()

    monkeypatch.setattr(os, "fsync", fsync)
    create[kind]()
    key = tmp_path / "encryption.key"
    assert unnamed == {key.stat().st_ino: key.read_bytes()}
