"""
The README's map of the repository equals its folders.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
CODE = re.compile(r"`([^`]+)`")


def test_every_path_of_the_map_exists() -> None:
    """Each row names a folder, and every package has its row."""
    assert [path for path in ROWS if not (ROOT / path).is_dir()] == []
    packages = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "src").glob("*/__init__.py")}
    assert packages <= set(ROWS)


def test_map_names_every_folder_of_tests() -> None:
    """Exactly the folders with tests are named."""
    named = set(CODE.findall(ROWS["tests"]))
    holding = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert holding <= named
    assert {name for name in named if not (ROOT / "tests" / name).is_dir()} == set()
