"""
The examples of the documentation, run as shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients.transcript import blocks, matches, run, steps
from support.servers.service import Service, serving

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.fixture
def fresh_service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "service", settings={"ARGON2_MEMORY_KIB": "8192"}) as service:
        yield service


@pytest.mark.parametrize("page", pages_with("console"), ids=lambda page: page.name)
def test_transcripts_print_what_they_show(page: Path, fresh_service: Service, tmp_path: Path) -> None:
    """Every command of a page's transcripts runs in order and prints the output shown below it."""
    transcript = [step for block in blocks(page, "console") for step in steps(block)]
    folder = tmp_path / "terminal"
    folder.mkdir()
    local = [at_port(step.command, fresh_service.port) for step in transcript]
    printed = run(
        [type(step)(command, step.shown) for step, command in zip(transcript, local, strict=True)],
        folder=folder,
        environment={**os.environ, "HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    for step, output in zip(transcript, printed, strict=True):
        assert matches(step.shown, output.replace(f":{fresh_service.port}", ":8000")), (step.command, output)


def at_port(command: str, port: int) -> str:
    return command.replace(":8000", f":{port}")


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_examples_run(page: Path) -> None:
    """Every Python block of a page runs, in order, in one namespace."""
    namespace: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)


ADAPTERS = ROOT / "docs" / "tutorial" / "write-an-adapter.md"


def test_tutorial_adapter_has_the_stated_length() -> None:
    """The adapter has forty lines, imports included and blank lines excluded."""
    adapter, *_ = blocks(ADAPTERS, "python")
    assert "class SqliteBlobs" in adapter
    assert sum(bool(line.strip()) for line in adapter.splitlines()) == 40


def test_tutorial_adapter_passes_its_tests(tmp_path: Path) -> None:
    """The page's blocks in one file pass as the page says: contract, state machine and planted bug."""
    module = tmp_path / "test_sqlite_blobs.py"
    module.write_text("\n\n".join(blocks(ADAPTERS, "python")))
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", module.name]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    passed = re.search(r"^(\d+) passed", result.stdout, flags=re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 20


def test_every_page_is_linked_from_the_readme() -> None:
    """Every page is linked from the README or from a page that it reaches."""
    reached, unseen = set(), [ROOT / "README.md"]
    while unseen:
        page = unseen.pop()
        reached.add(page)
        linked = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+\.md)", page.read_text())}
        assert linked <= set(PAGES), f"{page.name} links to a page that does not exist"
        unseen += linked - reached
    assert set(PAGES) - reached == set()
