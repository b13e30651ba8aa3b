"""
The settings' documentation, made from their metadata: `python -m sft_adapters.settings.reference` in a checkout.
"""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Final

from sft_adapters.settings import catalogue
from sft_adapters.settings.catalogue import GROUPS, SETTINGS
from sft_adapters.settings.field import settings_of

_EMPTY: Final[tuple[object, ...]] = (None, frozenset(), ())
_PREFACE: Final = (
    "# Settings",
    "",
    "Every limit, timeout and size is a setting with a unit and a safe default. They are read once, at start, from the",
    "environment or from a `.env` file (`--env-file`, or `.env` in the working folder); the environment wins. An empty",
    "value counts as not set. The service does not start if a setting is malformed, out of bounds or contradicts",
    "another one; the error names every such setting and no value. A secret is refused if it is short, a default or",
    "an example, made of words, or the digest of one; a `SECRET_KEY` also if it is a passphrase of five words or more,",
    "or reads like English.",
    "",
    "This page is generated from `src/sft_adapters/settings/catalogue.py`.",
)


def write(root: Path) -> None:
    """
    Write the page and the example into a checkout.
    """
    (root / "docs/reference/settings.md").write_text(as_markdown())
    (root / ".env.example").write_text(as_env_example())


def as_markdown() -> str:
    """
    Return the page `docs/reference/settings.md`.
    """
    lines, meanings = [*_PREFACE], _meanings()
    for group in GROUPS.values():
        lines += ["", f"## {_title(group)}", "", "| setting | default | unit | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{s.name}` | {_shown(s.default)} | {s.unit} | {meanings[s.name]} |" for s in settings_of(group).values()
        ]
    lines += [
        "",
        "## Former names",
        "",
        "This release accepts them too and logs a warning. If both names are set, their values must be equal.",
        "",
        "| former name | setting |",
        "|---|---|",
    ]
    lines += [f"| `{s.former_name}` | `{s.name}` |" for s in SETTINGS if s.former_name]
    return "\n".join(lines) + "\n"


def as_env_example() -> str:
    """
    Return the text of `.env.example`: every setting, commented out, with its default or an example.
    """
    lines = ["# Copy to .env and uncomment what you need; keys are best left to the first start.", ""]
    meanings = _meanings()
    for group in GROUPS.values():
        lines += [f"# --- {_title(group)}", ""]
        for setting in settings_of(group).values():
            unit = f" ({setting.unit})" if setting.unit else ""
            value = setting.example or ("" if setting.default in _EMPTY else setting.default)
            lines += [f"# {meanings[setting.name]}{unit}", f"#{setting.name}={value}", ""]
    return "\n".join(lines)


def _meanings() -> dict[str, str]:
    """
    Return the descriptions of all settings by their names: the texts below their declarations.
    """
    found = {}
    for group in ast.parse(inspect.getsource(catalogue)).body:
        for pair in pairwise(group.body if isinstance(group, ast.ClassDef) else []):
            match pair:
                case (
                    ast.AnnAssign(value=ast.Call(args=[ast.Constant(value=str(name)), *_])),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found


def _title(group: type) -> str:
    return (inspect.getdoc(group) or "").partition("\n")[0].rstrip(".")


def _shown(default: object) -> str:
    if default is None:
        return "not set"
    return "none" if default in _EMPTY else f"`{default}`"


if __name__ == "__main__":
    write(Path())
