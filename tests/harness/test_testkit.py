"""
The test kit's names, budgets and drivers: stable names, checked arguments, declared capabilities.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis.errors import InvalidArgument

from harness.systems import memory_library
from sft_adapters import testkit
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.testkit import HttpDriver, Refused, blob_machine, budget, contracts, drivers, machines, system_machine


def test_every_listed_name_can_be_imported() -> None:
    """Every listed name, contract, machine and driver can be imported from the package."""
    inside = [*contracts.__all__, *machines.__all__, "Driver", "HttpDriver", "LibraryDriver", "Refused"]
    for name in {*testkit.__all__, *inside}:
        assert getattr(testkit, name) is not None
    assert testkit.HttpDriver is drivers.HttpDriver
    with pytest.raises(AttributeError, match="no_such_name"):
        testkit.no_such_name  # noqa: B018 (the lookup is under test)


def test_import_loads_no_server_driver() -> None:
    """Importing the test kit loads neither SQLAlchemy nor Falcon, nor any client of a database or store."""
    program = """
        import sys
        from sft_adapters.testkit import BlobStoreContract, HttpDriver, blob_machine, contracts, strategies
        servers = {"sqlalchemy", "falcon", "gunicorn", "psycopg", "redis", "minio", "dependency_injector"}
        print(sorted(servers & set(sys.modules)))
    """
    lines = "\n".join(line.strip() for line in program.strip().splitlines())
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


WRONG: list[Callable[[], Any]] = [
    lambda: blob_machine(None),  # type: ignore[arg-type]  # wrong on purpose
    lambda: blob_machine(MemoryBlobs, crash="now"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: blob_machine(MemoryBlobs, close=1),  # type: ignore[arg-type]  # wrong on purpose
    lambda: system_machine("library"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: system_machine(memory_library, part_size=0),
    lambda: system_machine(memory_library, max_file_bytes=-1),
    lambda: system_machine(memory_library, max_crashes=-1),
    lambda: system_machine(memory_library, quota=0),
    lambda: budget(examples=0, steps=1),
    lambda: budget(examples=1, steps=0),
    lambda: budget(examples=1.5, steps=1),  # type: ignore[arg-type]  # wrong on purpose
]


@pytest.mark.parametrize("call", WRONG)
def test_invalid_arguments_are_refused_at_the_call(call: Callable[[], Any]) -> None:
    """A machine or budget with invalid arguments raises `InvalidArgument`."""
    with pytest.raises(InvalidArgument):
        call()


def test_budget_is_controlled_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment multiplies the examples and makes them random; invalid values are refused."""
    assert (budget(examples=3, steps=7).max_examples, budget(examples=3, steps=7).stateful_step_count) == (3, 7)
    assert budget(examples=3, steps=7).derandomize
    monkeypatch.setenv("SFT_HARNESS_EXAMPLES", "10")
    monkeypatch.setenv("SFT_HARNESS_EXPLORE", "1")
    assert budget(examples=3, steps=7).max_examples == 30
    assert not budget(examples=3, steps=7).derandomize
    for wrong in ("0", "-1", "many", "1.5", "\u0663"):
        monkeypatch.setenv("SFT_HARNESS_EXAMPLES", wrong)
        with pytest.raises(InvalidArgument):
            budget(examples=3, steps=7)


def test_driver_without_hooks_declares_no_capabilities() -> None:
    """A driver without hooks declares no optional capability, and their methods raise."""
    driver = HttpDriver(base_url="http://127.0.0.1:9")
    assert not any([driver.can_advance_clock, driver.can_crash, driver.can_revoke_links, driver.may_throttle])
    for verb in (driver.crash, lambda: driver.advance(1), lambda: driver.revoke("access", "token")):
        with pytest.raises(RuntimeError):
            verb()
    library = memory_library()
    assert not library.can_crash
    with pytest.raises(RuntimeError):
        library.crash()


def test_driver_methods_call_their_hooks() -> None:
    """Each optional method calls its hook with its arguments."""
    calls: list[object] = []
    driver = HttpDriver(
        base_url="http://127.0.0.1:9",
        crash_hook=lambda: calls.append("crash"),
        advance_hook=calls.append,
        revoke_hook=lambda access, token: calls.append((access, token)),
    )
    assert all([driver.can_advance_clock, driver.can_crash, driver.can_revoke_links])
    driver.crash()
    driver.advance(30)
    driver.revoke("access", "token")
    assert calls == ["crash", 30, ("access", "token")]


def test_refusal_is_a_stable_code() -> None:
    """The library's errors are raised as their stable codes; tokens are not in the repr."""
    driver = memory_library()
    driver.register(email="maya@example.org", username="maya", password="a long one")
    tokens = driver.sign_in(email="maya@example.org", password="a long one")
    assert tokens.access not in repr(tokens)
    assert tokens.refresh not in repr(tokens)
    with pytest.raises(Refused) as refused:
        driver.sign_in(email="maya@example.org", password="another one")
    assert refused.value.code == "bad-credentials"
    with pytest.raises(Refused) as refused:
        driver.look("no token")
    assert refused.value.code == "invalid-value"


@pytest.mark.parametrize(("old", "new"), contracts.RENAMED.items())
def test_old_contract_name_warns_and_returns_the_new_class(old: str, new: str) -> None:
    """Each old name is an alias with a deprecation warning for one release."""
    for module in (testkit, contracts):
        assert old not in module.__all__
        with pytest.warns(DeprecationWarning, match=f"{old} was renamed to {new}"):
            assert getattr(module, old) is getattr(contracts, new)


def test_unknown_contract_name_is_an_attribute_error() -> None:
    """A name that no contract ever had has no alias."""
    with pytest.raises(AttributeError, match="NoSuchContract"):
        contracts.NoSuchContract  # noqa: B018 (the lookup is under test)
