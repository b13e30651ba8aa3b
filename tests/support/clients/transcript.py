"""
Terminal transcripts in documentation: parsed, run, and compared with the page's output.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs

SEPARATOR = "--8<-- end of output --8<--"


@attrs.frozen
class Step:
    """
    One command of a transcript and the page's output for it.
    """

    command: str
    shown: str


def blocks(page: Path, language: str) -> list[str]:
    """
    Return the fenced code blocks of one language, in order.
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def steps(block: str) -> Iterator[Step]:
    """
    Return the commands of a block (`$ ` first, `> ` for each further line), each with its output.
    """
    for chunk in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = chunk.splitlines()
        end = next((n for n, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        command = "\n".join([lines[0], *(line[2:] for line in lines[1:end])])
        yield Step(command, "\n".join(lines[end:]).strip())


def matches(shown: str, printed: str) -> bool:
    """
    Return whether the output matches the page, where "…" stands for any text.
    """
    pattern = ".*?".join(re.escape(piece) for piece in shown.split("…"))
    return re.fullmatch(pattern, printed.strip(), flags=re.DOTALL) is not None


def run(steps: list[Step], *, folder: Path, environment: dict[str, str]) -> list[str]:
    """
    Run the commands in one bash session and return the output of each.
    """
    script = "\n".join(f"{step.command}\nprintf '%s\\n' '{SEPARATOR}'" for step in steps)
    result = subprocess.run(
        ["bash", "-e"],
        input=script,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.split(f"{SEPARATOR}\n")[: len(steps)]
