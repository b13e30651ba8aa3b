"""
Folders that are made at the first start outlast a power cut.
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
    The files and folders that have been synced, with what was in them at that time noted as synced as well.
    """
    seen: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.extend([path, *path.iterdir()] if path.is_dir() else [path])

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_a_folder_is_durable_with_all_on_the_way_to_it(tmp_path: Path, synced: list[Path]) -> None:
    """Each name is synced in the folder it stands in, and the last one is its owner's only."""
    folder = tmp_path / "a" / "b" / "c"
    for _ in range(2):
        directories.make(folder)
        assert set(synced) >= {tmp_path / "a", tmp_path / "a" / "b", folder}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Where a folder is to be and a file is, that is said at once."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        directories.make(tmp_path / "file")


def test_what_the_first_start_makes_is_durable(tmp_path: Path, synced: list[Path]) -> None:
    """The data folder, the keys with their folder, and the folder of blobs: without one of them no file opens."""
    data = tmp_path / "some" / "data"
    settings = configuration.settings_for(data)
    storage.prepare(settings)
    keys = data / "keys"
    made = {tmp_path / "some", data, keys, *keys.iterdir(), settings.blob_folder}
    assert set(synced) >= made


def test_a_key_that_is_there_already_is_durable_too(tmp_path: Path, synced: list[Path]) -> None:
    """Who made it may have been killed before its name was."""
    (tmp_path / "encryption.key").write_text("made by somebody who is gone")
    key_files.create_missing(tmp_path, ["ENCRYPTION_KEY"], may_create=lambda: False)
    assert tmp_path in synced


@pytest.mark.parametrize("kind", ["first", "next", "elsewhere"])
def test_a_key_has_its_bytes_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A file that is there and empty after a power cut would be a lost key."""
    make: dict[str, Callable[[], object]] = {
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
    make[kind]()
    key = tmp_path / "encryption.key"
    assert unnamed == {key.stat().st_ino: key.read_bytes()}
