"""
The key ring of a running service while an operator changes its files.
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
class SettableTicks:
    """
    A monotonic clock that tests set.
    """

    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@attrs.define
class ReadCounter:
    """
    Counts how often the key files were read.
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
def ticks() -> SettableTicks:
    return SettableTicks()


@pytest.fixture
def ring(keys: KeySet, ticks: SettableTicks) -> ReloadingKeyRing:
    return ReloadingKeyRing(keys, ticks)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> ReadCounter:
    reads = ReadCounter()
    monkeypatch.setattr(reloading, "reload_keys", reads)
    return reads


def wrapped_by(ring: AesKeyRing | ReloadingKeyRing) -> WrappedSecret:
    return ring.wrap(Secret(bytes(32)), purpose=PURPOSE, context=CONTEXT)


def opens(ring: ReloadingKeyRing, wrapped: WrappedSecret) -> bool:
    try:
        return ring.unwrap(wrapped, purpose=PURPOSE, context=CONTEXT) == Secret(bytes(32))
    except UnknownKey:
        return False


def ring_of_new_service(folder: Path) -> AesKeyRing:
    """
    The key ring of a service that starts now.
    """
    keys = keys_for(settings_for(folder.parent))
    return AesKeyRing(keys.encryption_key, keys.retiring_keys)


def add_key(folder: Path) -> str:
    """
    Add a key like `sft keys add`, and return its id.
    """
    key_files.rotate_active(folder, ring_of_new_service(folder).active_id)
    return ring_of_new_service(folder).active_id


class TestReloadingKeyRing(contracts.KeyRingContract):
    """
    The reloading ring passes the key ring contract.
    """

    @pytest.fixture
    def keyring(self, tmp_path: Path) -> ReloadingKeyRing:
        return ReloadingKeyRing(keys_for(settings_for(tmp_path / "one")))

    @pytest.fixture
    def other_keyring(self, tmp_path: Path) -> ReloadingKeyRing:
        return ReloadingKeyRing(keys_for(settings_for(tmp_path / "other")))


def test_new_key_wraps_the_next_secret(ring: ReloadingKeyRing, folder: Path) -> None:
    """A new key is used at once, even several within one tick of the file system's clock; earlier secrets unwrap."""
    earlier = [wrapped_by(ring)]
    for _ in range(20):
        new = add_key(folder)
        os.utime(folder, ns=(10**18, 10**18))
        earlier.append(wrapped_by(ring))
        assert earlier[-1].key_id == new
    assert all(opens(ring, wrapped) for wrapped in earlier)


def test_secret_under_another_services_new_key_unwraps(ring: ReloadingKeyRing, folder: Path) -> None:
    """This holds even right after the files were read for a key that does not exist."""
    unknown = WrappedSecret("0" * 16, bytes(40))
    for _ in range(3):
        assert not opens(ring, unknown)
        add_key(folder)
        assert opens(ring, wrapped_by(ring_of_new_service(folder)))


def test_key_added_after_the_settings_is_used(keys: KeySet, folder: Path) -> None:
    """The first secret is wrapped under the key in the files, not under the one in the settings."""
    new = add_key(folder)
    assert wrapped_by(ReloadingKeyRing(keys)).key_id == new


def test_retired_key_still_unwraps_in_a_running_ring(ring: ReloadingKeyRing, folder: Path) -> None:
    """A running ring still unwraps a row read before; a ring created later does not have the key."""
    before = wrapped_by(ring)
    add_key(folder)
    key_files.retire(folder, before.key_id)
    wrapped_by(ring)
    assert opens(ring, before)
    assert not opens(ReloadingKeyRing(keys_for(settings_for(folder.parent))), before)


def test_key_retired_during_a_read_does_not_block_the_new_key(
    ring: ReloadingKeyRing, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is retired between listing and reading; a ring created then works as well."""
    old = wrapped_by(ring).key_id
    new, read = add_key(folder), key_files._read

    def retired_before(path: Path) -> str:
        if old in path.name:
            key_files.retire(folder, old)
        return read(path)

    monkeypatch.setattr(key_files, "_read", retired_before)
    assert wrapped_by(ring).key_id == new
    key_files.path_of_retiring(folder, old).with_suffix(".key.retired").rename(key_files.path_of_retiring(folder, old))
    assert ring_of_new_service(folder).active_id == new


def test_unknown_keys_cause_few_file_reads(ring: ReloadingKeyRing, ticks: SettableTicks, reads: ReadCounter) -> None:
    """A thousand secrets under unknown keys cause one read in two seconds; wrapping causes none."""
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


def test_invalid_file_keeps_the_previous_ring(
    ring: ReloadingKeyRing, folder: Path, ticks: SettableTicks, reads: ReadCounter, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged, retried only after the cooldown, and the repaired file is then used."""
    old = wrapped_by(ring).key_id
    ticks.at += COOLDOWN_SECONDS
    add_key(folder)
    good = key_files.path_of(folder, "ENCRYPTION_KEY")
    text = good.read_text()
    good.write_text("nonsense")
    with caplog.at_level(logging.WARNING, "sft.keys"):
        assert {wrapped_by(ring).key_id for _ in range(50)} == {old}
    assert [str(good) in record.getMessage() for record in caplog.records] == [True]
    assert reads.number == 2
    good.write_text(text)
    ticks.at += COOLDOWN_SECONDS
    assert wrapped_by(ring).key_id == ring_of_new_service(folder).active_id


def test_keys_from_the_environment_stay(tmp_path: Path) -> None:
    """Only retiring keys may then come from files; the active key stays."""
    key = key_files.generate(tmp_path / "given.key")
    given = {"ENCRYPTION_KEY": key, "SECRET_KEY": os.urandom(32).hex()}
    keys = keys_for(settings_for(tmp_path / "data", given))
    ring = ReloadingKeyRing(keys)
    other = AesKeyRing(Secret(os.urandom(32)))
    assert wrapped_by(ring).key_id == key_id(keys.encryption_key)
    assert not opens(ring, wrapped_by(other))
