"""
The key ring of a running service, while an operator changes its files.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import attrs
import pytest

from sft_adapters.bootstrap.configuration import keys_for, settings_for
from sft_adapters.crypto.keyring import AesKeyRing, key_id
from sft_adapters.disk import key_files
from sft_adapters.keyring import reloading
from sft_adapters.keyring.loading import KeySet, reload_keys
from sft_adapters.keyring.reloading import COOLDOWN_SECONDS, ReloadingKeyRing
from sft_adapters.testkit import contracts
from sft_core.errors import UnknownKey
from sft_core.values import Secret, WrappedSecret

PURPOSE, CONTEXT = "file-key", b"a row"


@attrs.define
class Ticks:
    """
    A monotonic clock that stands still.
    """

    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@attrs.define
class Reads:
    """
    How often the key files were read.
    """

    number: int = 0

    def __call__(self, keys: KeySet) -> KeySet:
        self.number += 1
        return reload_keys(keys)


@pytest.fixture
def keys(tmp_path: Path) -> KeySet:
    return keys_for(settings_for(tmp_path / "data"))


@pytest.fixture
def folder(keys: KeySet) -> Path:
    return keys.folder


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def ring(keys: KeySet, ticks: Ticks) -> ReloadingKeyRing:
    return ReloadingKeyRing(keys, ticks)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads = Reads()
    monkeypatch.setattr(reloading, "reload_keys", reads)
    return reads


def wrapped_by(ring: AesKeyRing | ReloadingKeyRing) -> WrappedSecret:
    return ring.wrap(Secret(bytes(32)), purpose=PURPOSE, context=CONTEXT)


def opens(ring: ReloadingKeyRing, wrapped: WrappedSecret) -> bool:
    try:
        return ring.unwrap(wrapped, purpose=PURPOSE, context=CONTEXT) == Secret(bytes(32))
    except UnknownKey:
        return False


def elsewhere(folder: Path) -> AesKeyRing:
    """
    The ring of a service that is started now.
    """
    keys = keys_for(settings_for(folder.parent))
    return AesKeyRing(keys.encryption_key, keys.retiring_keys)


def added(folder: Path) -> str:
    """
    Add a key as `sft keys add` does; its id.
    """
    key_files.rotate_active(folder, elsewhere(folder).active_id)
    return elsewhere(folder).active_id


class TestLiveKeyRing(contracts.KeyRingContract):
    """
    It is a key ring like any other.
    """

    @pytest.fixture
    def keyring(self, tmp_path: Path) -> ReloadingKeyRing:
        return ReloadingKeyRing(keys_for(settings_for(tmp_path / "one")))

    @pytest.fixture
    def other_keyring(self, tmp_path: Path) -> ReloadingKeyRing:
        return ReloadingKeyRing(keys_for(settings_for(tmp_path / "other")))


def test_a_new_key_wraps_what_comes_next(ring: ReloadingKeyRing, folder: Path) -> None:
    """At once, however often keys are added within one tick of the file system's clock; all before still open."""
    earlier = [wrapped_by(ring)]
    for _ in range(20):
        new = added(folder)
        os.utime(folder, ns=(10**18, 10**18))
        earlier.append(wrapped_by(ring))
        assert earlier[-1].key_id == new
    assert all(opens(ring, wrapped) for wrapped in earlier)


def test_what_another_service_wraps_under_a_new_key_opens(ring: ReloadingKeyRing, folder: Path) -> None:
    """Also when this one has read its files a moment ago, for a key that nobody has."""
    unknown = WrappedSecret("0" * 16, bytes(40))
    for _ in range(3):
        assert not opens(ring, unknown)
        added(folder)
        assert opens(ring, wrapped_by(elsewhere(folder)))


def test_a_key_that_was_added_between_settings_and_ring_is_seen(keys: KeySet, folder: Path) -> None:
    """The first secret is wrapped under what the files hold, not under what the settings were read from."""
    new = added(folder)
    assert wrapped_by(ReloadingKeyRing(keys)).key_id == new


def test_a_key_that_is_set_aside_opens_what_is_under_way(ring: ReloadingKeyRing, folder: Path) -> None:
    """Its row was read before; a ring that is made later does not know it any more."""
    before = wrapped_by(ring)
    added(folder)
    key_files.retire(folder, before.key_id)
    wrapped_by(ring)
    assert opens(ring, before)
    assert not opens(ReloadingKeyRing(keys_for(settings_for(folder.parent))), before)


def test_a_key_that_is_set_aside_while_it_is_read_keeps_nobody_from_the_new_one(
    ring: ReloadingKeyRing, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is gone between the look into the folder and the look into the file; a start finds the ring too."""
    old = wrapped_by(ring).key_id
    new, read = added(folder), key_files._read

    def retired_before(path: Path) -> str:
        if old in path.name:
            key_files.retire(folder, old)
        return read(path)

    monkeypatch.setattr(key_files, "_read", retired_before)
    assert wrapped_by(ring).key_id == new
    key_files.path_of_retiring(folder, old).with_suffix(".key.retired").rename(key_files.path_of_retiring(folder, old))
    assert elsewhere(folder).active_id == new


def test_rows_cannot_make_it_read_its_files_over_and_over(ring: ReloadingKeyRing, ticks: Ticks, reads: Reads) -> None:
    """A thousand secrets under keys that nobody has cost one look in two seconds; wrapping costs none."""
    wrapped_by(ring)
    assert reads.number == 1
    ticks.at += COOLDOWN_SECONDS
    for number in range(1000):
        assert not opens(ring, WrappedSecret(f"{number:016x}", bytes(40)))
        wrapped_by(ring)
    assert reads.number == 2
    ticks.at += COOLDOWN_SECONDS
    assert not opens(ring, WrappedSecret("0" * 16, bytes(40)))
    assert reads.number == 3


def test_a_spoilt_file_leaves_the_ring_as_it_was(
    ring: ReloadingKeyRing, folder: Path, ticks: Ticks, reads: Reads, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in the log, tried again after a while and not before, and taken once it is mended."""
    old = wrapped_by(ring).key_id
    ticks.at += COOLDOWN_SECONDS
    added(folder)
    good = key_files.path_of(folder, "ENCRYPTION_KEY")
    text = good.read_text()
    good.write_text("nonsense")
    with caplog.at_level(logging.WARNING, "sft.keys"):
        assert {wrapped_by(ring).key_id for _ in range(50)} == {old}
    assert [str(good) in record.getMessage() for record in caplog.records] == [True]
    assert reads.number == 2
    good.write_text(text)
    ticks.at += COOLDOWN_SECONDS
    assert wrapped_by(ring).key_id == elsewhere(folder).active_id


def test_keys_of_the_environment_are_those_of_the_start(tmp_path: Path) -> None:
    """Only earlier keys may come from files then; the active one stays."""
    key = key_files.generate(tmp_path / "given.key")
    given = {"ENCRYPTION_KEY": key, "SECRET_KEY": os.urandom(32).hex()}
    keys = keys_for(settings_for(tmp_path / "data", given))
    ring = ReloadingKeyRing(keys)
    other = AesKeyRing(Secret(os.urandom(32)))
    assert wrapped_by(ring).key_id == key_id(keys.encryption_key)
    assert not opens(ring, wrapped_by(other))
