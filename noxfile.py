"""
Everything that is checked, by one command: `nox` runs lint and tests.

The sessions run in the environment that nox itself is installed in: `constraints-test.txt` holds
all of it, pinned and hashed, so there is nothing more to download.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "none"

PYTHON = sys.executable
SCRIPTS = Path(PYTHON).parent
CHECKED = ["src", "tests", "noxfile.py"]

LOWEST_COVERAGE = "90"
PROCESSES = ["-n", "3"]


def run(session: nox.Session, *command: str, **environment: str) -> None:
    """
    Run a command of this environment, with more variables if given.
    """
    session.run(*command, external=True, env={**os.environ, **environment})


def install(session: nox.Session) -> None:
    """
    Install the project itself; what it needs is there already.
    """
    run(session, PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")


def batches(*files: Path) -> list[list[str]]:
    """
    Group test files so that no two of a batch share a file name: mypy names a module by its file name alone.
    """
    grouped: list[list[str]] = []
    seen: Counter[str] = Counter()
    for file in sorted(files):
        if seen[file.name] == len(grouped):
            grouped.append([])
        grouped[seen[file.name]].append(str(file))
        seen[file.name] += 1
    return grouped


@nox.session
def lint(session: nox.Session) -> None:
    """
    Style, types and the shape of the imports.
    """
    install(session)
    run(session, PYTHON, "-m", "ruff", "check", *CHECKED)
    run(session, PYTHON, "-m", "ruff", "format", "--check", *CHECKED)
    run(session, PYTHON, "-m", "mypy")
    for batch in batches(*Path("tests").rglob("test_*.py"), *Path("tests").rglob("conftest.py")):
        run(session, PYTHON, "-m", "mypy", *batch)
    run(session, str(SCRIPTS / "lint-imports"))


@nox.session
def tests(session: nox.Session) -> None:
    """
    All tests, on three processes: many wait for servers rather than for a core.
    """
    install(session)
    run(session, PYTHON, "-m", "pytest", *(session.posargs or PROCESSES))


@nox.session
def coverage(session: nox.Session) -> None:
    """
    All tests with branch coverage, which has a lowest value; half as long again. Not run by default.
    """
    install(session)
    run(session, PYTHON, "-m", "pytest", *PROCESSES, "--cov", f"--cov-fail-under={LOWEST_COVERAGE}")


@nox.session
def bench(session: nox.Session) -> None:
    """
    Every figure, in one table; needs nginx and wrk. Not run by default; options as `--only tus --rounds 3`.
    """
    install(session)
    run(session, PYTHON, "-m", "bench", *session.posargs, PYTHONPATH="tests")


@nox.session
def campaign(session: nox.Session) -> None:
    """
    Kills of a loaded service: 300 on the embedded default, 100 on servers; half an hour. Not run by default.
    """
    install(session)
    for stack, cycles in (("embedded", "300"), ("servers", "100")):
        kills = ["-m", "campaign.kills", "--stack", stack, "--cycles", cycles, *session.posargs]
        run(session, PYTHON, *kills, PYTHONPATH="tests")


@nox.session
def constraints(session: nox.Session) -> None:
    """
    Pin and hash everything anew, for every platform, naming no host; needs `uv`. Not run by default.
    """
    compile_ = ["uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11"]
    compile_ += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    # A pin without its extras lets pip look at a newer release, which has no hash here.
    compile_ += ["--no-strip-extras", "--group", "build"]
    tested = ["--all-extras", "--group", "test", "--group", "lint", "--output-file", "constraints-test.txt"]
    run(session, *compile_, *tested, "pyproject.toml")
    pinned = ["--constraint", "constraints-test.txt", "pyproject.toml"]
    run(session, *compile_, "--extra", "all", "--output-file", "constraints-all.txt", *pinned)
    run(session, *compile_, "--output-file", "constraints.txt", *pinned)
