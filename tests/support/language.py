"""
Search the prose of the repository for the idioms of `support.idioms`.

Prose is: docstrings, comments, the sentences among the strings of Python code (errors, log messages, settings, command
help), and Markdown. Code in any of them is left out: fenced blocks, text in backticks, doctest lines.

`PYTHONPATH=tests python -m support.language [PATH...]` prints each hit and a summary; any hit makes the status 1.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

import attrs

from support.idioms import IDIOMS, table

Kind = Literal["docstring", "attribute docstring", "comment", "string", "page"]

DEFAULT = (Path("src"), Path("tests"), Path("docs"), Path("README.md"))
MIN_WORDS = 4
CODE = "¤"

_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_INLINE_CODE = re.compile(r"(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_FENCE = re.compile(r"^[ \t>]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t>]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"(?<=\])\([^)\s]*\)|<https?:[^>]*>|<!--.*?-->|</?[a-z][^>\n]*>", re.DOTALL)
_DOCTEST = re.compile(r"^[ \t]*>>> .*(?:\n[ \t]*\.\.\. .*)*", re.MULTILINE)
_DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|mypy:|ruff:|pragma|!|-\*-)")


@attrs.frozen
class Prose:
    """
    One piece of running text, whose first line is line `line` of `path`.
    """

    path: Path
    line: int
    kind: Kind
    text: str

    @cached_property
    def masked(self) -> str:
        """
        The text at the same offsets, with code masked and single line breaks as spaces.
        """
        text = self.text
        for pattern in (_FENCE, _DOCTEST, _TARGET, _INLINE_CODE):
            text = pattern.sub(_mask, text)
        return re.sub(r"(?<!\n)\n(?![ \t]*\n)", " ", text).replace("\t", " ")

    @cached_property
    def words(self) -> int:
        """
        How many words the text has outside code.
        """
        return len(_WORD.findall(self.masked))


@attrs.frozen
class Hit:
    """
    A listed idiom, and the place where it was found.
    """

    path: Path
    line: int
    idiom: str
    excerpt: str

    def __str__(self) -> str:
        """Return the line that the command prints."""
        return f'{self.path}:{self.line}: {self.idiom} — "{self.excerpt}"'


@attrs.frozen
class Measure:
    """
    Hits in a number of pieces of prose.
    """

    pieces: int
    pieces_with_hit: int
    words: int
    hits: int

    @property
    def share(self) -> float:
        """
        The share of pieces with at least one hit, 0 to 1.
        """
        return self.pieces_with_hit / self.pieces if self.pieces else 0.0

    @property
    def per_1000_words(self) -> float:
        """
        Hits in 1 000 words.
        """
        return 1000 * self.hits / self.words if self.words else 0.0


def hits_in(prose: Prose) -> list[Hit]:
    """
    Every listed idiom in a piece of prose, in the order of the text.
    """
    text = prose.masked
    found = sorted(
        (match.start(), match.end(), idiom.name) for idiom in IDIOMS for match in idiom.pattern.finditer(text)
    )
    return [
        Hit(prose.path, prose.line + prose.text.count("\n", 0, start), name, _excerpt(prose.text, start, end))
        for start, end, name in found
    ]


def measure(pieces: Iterable[Prose], *, without: Iterable[Hit] = ()) -> Measure:
    """
    Count pieces, words and hits, except the hits in `without`.
    """
    excluded = set(without)
    counted = [(prose.words, [hit for hit in hits_in(prose) if hit not in excluded]) for prose in pieces]
    return Measure(
        pieces=len(counted),
        pieces_with_hit=sum(1 for _, hits in counted if hits),
        words=sum(words for words, _ in counted),
        hits=sum(len(hits) for _, hits in counted),
    )


def prose_of(*paths: Path) -> Iterator[Prose]:
    """
    The prose of Python and Markdown files, and of those below the given folders.
    """
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.suffix == ".md":
                yield Prose(file, 1, "page", file.read_text())
            elif file.suffix in {".py", ".pyi"}:
                yield from python_prose(file, file.read_text())


def python_prose(path: Path, source: str) -> Iterator[Prose]:
    """
    The docstrings, comments and sentences of one Python module.
    """
    tree = ast.parse(source)
    docstrings = dict(_docstrings(tree))
    yield from (Prose(path, node.lineno, kind, str(node.value)) for node, kind in docstrings.items())
    yield from (Prose(path, line, "comment", text) for line, text in _comments(source))
    yield from (Prose(path, line, "string", text) for line, text in _sentences(tree, set(docstrings)))


def _mask(match: re.Match[str]) -> str:
    """
    As many characters, none of a word. Line breaks stay, so that a position keeps its line.
    """
    return re.sub(r"[^\n]", CODE, match[0])


def _excerpt(text: str, start: int, end: int) -> str:
    """
    The idiom with about 30 characters on either side, cut between words.
    """
    before = text[max(0, start - 30) : start]
    after = text[end : end + 30]
    before = before if start <= 30 else "…" + before.partition(" ")[2]
    after = after if end + 30 >= len(text) else after.rpartition(" ")[0] + "…"
    return " ".join(f"{before}{text[start:end]}{after}".split())


def _docstrings(tree: ast.Module) -> Iterator[tuple[ast.Constant, Kind]]:
    """
    Every docstring; a bare string below an assignment is the docstring of an attribute.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = _bare_string(node.body[0])
            if first is not None:
                yield first, "docstring"
        if isinstance(node, ast.Module | ast.ClassDef):
            for before, after in zip(node.body, node.body[1:], strict=False):
                second = _bare_string(after)
                if isinstance(before, ast.Assign | ast.AnnAssign) and second is not None:
                    yield second, "attribute docstring"


def _bare_string(statement: ast.stmt) -> ast.Constant | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value if isinstance(statement.value.value, str) else None
    return None


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """
    Comments with their first line; adjacent comment lines are one comment.
    """
    first, last, lines = 0, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _DIRECTIVE.match(token.string):
            continue
        alone = not token.line[: token.start[1]].strip()
        if lines and not (alone and token.start[0] == last + 1):
            yield first, "\n".join(lines)
            lines = []
        first = first if lines else token.start[0]
        last = token.start[0]
        lines.append(token.string.lstrip("#:").strip())
    if lines:
        yield first, "\n".join(lines)


def _sentences(tree: ast.Module, docstrings: set[ast.Constant]) -> Iterator[tuple[int, str]]:
    """
    String literals of at least four words; what an f-string inserts counts as code.
    """
    inner = {value for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    excluded = docstrings | inner
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(value.value) if isinstance(value, ast.Constant) else CODE for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in excluded:
            text = node.value
        else:
            continue
        if len(_WORD.findall(text)) >= MIN_WORDS and " " in text:
            yield node.lineno, text


def area(prose: Prose) -> str:
    """
    What a piece of prose is counted under: documentation, tests or src.
    """
    if prose.kind == "page":
        return "documentation"
    return "tests" if "tests" in prose.path.resolve().parts[-5:] else "src"


def main(arguments: list[str]) -> int:
    """
    Print hits and a summary for the paths; the status is 1 if there are hits.
    """
    if arguments == ["--table"]:
        sys.stdout.write("\n".join([*table(), ""]))
        return 0
    paths = [Path(argument) for argument in arguments] or [path for path in DEFAULT if path.exists()]
    groups: defaultdict[str, list[Prose]] = defaultdict(list)
    for prose in prose_of(*paths):
        place = area(prose)
        if (place, prose.kind) == ("tests", "string"):
            continue  # A test's strings are its data.
        kind = "docstring" if prose.kind == "attribute docstring" else prose.kind
        groups[place if kind == "page" else f"{place}, {kind}s"].append(prose)
    hits = [hit for pieces in groups.values() for prose in pieces for hit in hits_in(prose)]
    sys.stdout.writelines(f"{hit}\n" for hit in sorted(hits, key=lambda hit: (str(hit.path), hit.line)))
    for name, pieces in groups.items():
        found = measure(pieces)
        sys.stdout.write(
            f"{name}: {found.pieces_with_hit} of {found.pieces} with a hit ({found.share:.1%}), "
            f"{found.hits} hits in {found.words} words ({found.per_1000_words:.1f} per 1 000)\n"
        )
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
