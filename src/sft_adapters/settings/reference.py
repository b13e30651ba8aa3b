"""
The settings' documentation, made from their table: `python -m sft_adapters.settings.reference` in a checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sft_adapters.settings.catalogue import SETTINGS

_PREFACE: Final = (
    "# Settings",
    "",
    "Every limit, timeout and size is a setting with a unit and a safe default. They are read once, at start, from the",
    "environment or from a `.env` file (`--env-file`, or `.env` in the working folder); the environment wins. What is",
    "wrong is told by name, all of it at once, and the service does not start: a malformed value, one out of bounds, a",
    "secret that is short, a default, an example, made of words or a digest of one. An empty value counts as not set.",
    "",
    "This page is generated from `catalogue.py` and `limits.py` in `src/sft_adapters/settings`.",
    "",
)


def write(root: Path) -> None:
    """
    Write the page and the example into a checkout.
    """
    (root / "docs/reference/settings.md").write_text(as_markdown())
    (root / ".env.example").write_text(as_env_example())


def as_markdown() -> str:
    """
    The page `docs/reference/settings.md`.
    """
    lines = [*_PREFACE, "| setting | default | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{s.name}` | {_shown(s.default)} | {s.unit} | {s.meaning} |" for s in SETTINGS]
    return "\n".join(lines) + "\n"


def as_env_example() -> str:
    """
    The text of `.env.example`: every setting, switched off, with its default or an example.
    """
    lines = ["# Copy to .env and switch on what you need; keys are best left to the first start.", ""]
    for setting in SETTINGS:
        unit = f" ({setting.unit})" if setting.unit else ""
        default = "" if setting.default in (None, frozenset(), ()) else setting.default
        lines += [f"# {setting.meaning}{unit}", f"#{setting.name}={setting.example or default}", ""]
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default is None:
        return "not set"
    return f"`{default}`" if default not in (frozenset(), ()) else "none"


if __name__ == "__main__":
    write(Path())
