"""
The language of the repository: no listed idiom, a table that names each of them, and a glossary that is in use.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from support.idioms import IDIOMS, table
from support.language import Hit, Measure, Prose, hits_in, main, measure, prose_of, python_prose

ROOT = Path(__file__).parents[2]
CONTRIBUTING = ROOT / "docs" / "CONTRIBUTING.md"
GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
DOCUMENTATION = (ROOT / "README.md", ROOT / "docs")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "tests").rglob("*.md"))]

DOCSTRINGS = frozenset({"docstring", "attribute docstring"})
COMMENTS = frozenset({"comment"})
STRINGS = frozenset({"string"})


# --- the repository -----------------------------------------------------------------------------------------------


@attrs.frozen
class Allowed:
    """
    An idiom that one file may use, and why.
    """

    path: str
    idiom: str
    reason: str


ALLOWED: tuple[Allowed, ...] = (
    Allowed(
        path="src/sft_adapters/settings/weak_secrets.py",
        idiom="nobody, somebody, anybody, everybody",
        reason="words that people build secrets from, as data",
    ),
)

SHARE_OF_DOCSTRINGS = {"src": 0.0, "tests": 0.0}
"""
The largest share of docstrings that may contain a listed idiom.
"""

PER_1000_WORDS = dict.fromkeys(("documentation", "comments in src", "strings in src", "comments in tests"), 0.0)
"""
The largest number of listed idioms in 1 000 words.
"""

MAX_FIRST_LINE_WORDS = 15
TEST_KIT = ROOT / "src" / "sft_adapters" / "testkit"
"""Its clauses are tests, each with one sentence that states a behaviour."""


@cache
def prose_below(path: Path) -> tuple[Prose, ...]:
    return tuple(prose_of(path))


def pieces(*paths: Path, kinds: frozenset[str]) -> list[Prose]:
    return [prose for path in paths for prose in prose_below(path) if prose.kind in kinds]


def measured(pieces: list[Prose]) -> tuple[Measure, str]:
    """
    The figures without the allowed idioms, and a listing of the first hits for the failure message.
    """
    hits = [hit for prose in pieces for hit in hits_in(prose)]
    allowed = [hit for hit in hits if any(covers(entry, hit) for entry in ALLOWED)]
    listing = "\n".join(str(hit) for hit in hits if hit not in allowed)
    return measure(pieces, without=allowed), listing[:8000]


def covers(entry: Allowed, hit: Hit) -> bool:
    return (ROOT / entry.path, entry.idiom) == (hit.path, hit.idiom)


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_docstrings_contain_no_listed_idiom(folder: str) -> None:
    """The share of docstrings with a listed idiom stays below the bound."""
    figures, listing = measured(pieces(ROOT / folder, kinds=DOCSTRINGS))
    assert figures.pieces > 1000
    assert figures.share <= SHARE_OF_DOCSTRINGS[folder], listing


@pytest.mark.parametrize(
    ("name", "paths", "kinds"),
    [
        ("documentation", DOCUMENTATION, frozenset({"page"}) | DOCSTRINGS | COMMENTS),
        ("comments in src", (ROOT / "src",), COMMENTS),
        ("strings in src", (ROOT / "src",), STRINGS),
        ("comments in tests", (ROOT / "tests",), COMMENTS),
    ],
)
def test_prose_contains_no_listed_idiom(name: str, paths: tuple[Path, ...], kinds: frozenset[str]) -> None:
    """The number of listed idioms in 1 000 words stays below the bound."""
    figures, listing = measured(pieces(*paths, kinds=kinds))
    assert figures.words > 800
    assert figures.per_1000_words <= PER_1000_WORDS[name], listing


def test_first_lines_of_docstrings_are_short() -> None:
    """The first line of a docstring can be read at once; a second idea is in a line below it."""
    found = pieces(ROOT / "src", kinds=frozenset({"docstring"}))
    docstrings = [prose for prose in found if not prose.path.is_relative_to(TEST_KIT)]
    assert docstrings
    first_lines = [(prose, inspect.cleandoc(prose.text).partition("\n")[0]) for prose in docstrings]
    long = [(prose, line) for prose, line in first_lines if len(line.split()) > MAX_FIRST_LINE_WORDS]
    assert not long, "\n".join(f"{prose.path}:{prose.line}: {line}" for prose, line in long)


def test_allowed_idioms_are_still_used() -> None:
    """Every exception names a listed idiom that its file still contains, and a reason."""
    for entry in ALLOWED:
        assert entry.reason, entry
        hits = [hit for prose in prose_of(ROOT / entry.path) for hit in hits_in(prose)]
        assert any(covers(entry, hit) for hit in hits), entry


def test_contributing_page_lists_every_idiom() -> None:
    """The section for contributors holds the table of idioms, each with its reason and what to write instead."""
    _, heading, rest = CONTRIBUTING.read_text().partition("## Words the tests refuse\n")
    assert heading
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    lines = {" ".join(line.split()) for line in section.splitlines()}
    assert [row for row in table()[2:] if row not in lines] == []


# --- the scanner --------------------------------------------------------------------------------------------------

EXAMPLES = {
    "who, whom, whoever": [
        "Who asks is not known.",
        "For who reads it later.",
        "Leave it to whom it was.",
        "Whoever waits",
    ],
    "nobody, somebody, anybody, everybody": ["Nobody waits.", "Unless somebody else did.", "It is free to anybody."],
    "anew": ["Wrap the key anew."],
    "let go (of)": ["Let go of the handle.", "Lets go of them.", "The store lets it go."],
    "is over": ["Rows that are over some day.", "When the request is over, log it.", "Signed, and not over."],
    "is gone": ["A file that is gone.", "The client may be gone."],
    "give up": ["A script that is given up.", "Give an upload up.", "It gave up at once."],
    "give back": ["Give the memory back.", "The quota is given back."],
    "take back": ["Take the schema back.", "A call that was taken back."],
    "go on (with)": ["An upload that may be gone on with.", "Go on with it.", "The sweep goes on."],
    "stand (for a state)": ["The upload stands at 5.", "The id under which it stood there."],
    "told": ["The row is told that the upload moves.", "Clients beyond the limit are told to return."],
    "tell": ["Tells whether it did.", "Its row tells the owner of it.", "The kernel cannot tell."],
    "hold off": ["Hold the clients off.", "Readers are held off."],
    "is well": ["When it is well again, start.", "Ends with 0 if everything is well."],
    "is away": ["A store that is away."],
    "is none": ["The request's `Idempotency-Key` is none."],
    "to be had": ["A little is always to be had."],
    "of before": ["No process of before may be left."],
    "of two that, of those that": ["Of two that start at once, one waits.", "One of several that wait."],
    "for what": ["Memory for what comes in.", "The same for whatever it holds."],
    "whatever (else)": ["And whatever else is refused.", "Close it, whatever comes."],
    "as long as it likes": ["It may take as long as it likes."],
    "know (of a thing)": ["No row knows it.", "What the manifest does not know of.", "Parts that it knows."],
    "believe": ["The store believes no client.", "Nothing is believed unseen."],
    "mind (as a verb)": ["The store minds the rest.", "It does not mind."],
    "want (of a thing)": ["If the worker wants more.", "The server does not want it."],
    "has come": ["How many bytes have come.", "The bytes come again."],
}

CLEAN = [
    "Return the offset. Raises `OffsetMismatch` if the client's offset differs from the stored one.",
    "The client knows the token; the owner wants a listing.",
    "If the size is over 5 MiB, the server answers 413; 410 Gone is returned for an expired link.",
    "The service runs over TLS, and headers are over the limit. Whether it is None or there is none.",
    "`None` stands for a missing part. A stand-in, a standalone server, a long-standing rule, a standby.",
    "The value has come from the header. A well-formed path is well known. Whose bytes they are is checked.",
    "Take the lock, then give the worker its quota. Go to the next part and hold the lease until it expires.",
    "The parser goes on to the next line. Tell the server to stop. What is more, for what reason is unknown.",
    "Overwrite, overhead, takeover, understand, fortunetold, renewal, Wholesome and mindful words.",
    "Keep in mind that uploads and those of other owners count. We believe this is rare.",
]


def found(text: str, *, kind: Callable[[str], Iterator[Prose]] | None = None) -> list[str]:
    prose = kind(text) if kind else iter([Prose(Path("page.md"), 1, "page", text)])
    return [hit.idiom for piece in prose for hit in hits_in(piece)]


def in_python(source: str) -> Iterator[Prose]:
    return python_prose(Path("module.py"), source)


def test_examples_cover_every_idiom() -> None:
    """Names are unique, and each idiom has an example, a reason and a replacement."""
    assert list(EXAMPLES) == [idiom.name for idiom in IDIOMS]
    assert all(EXAMPLES.values())
    assert all(idiom.why and idiom.instead for idiom in IDIOMS)
    assert found("\n".join(table())) == []


@pytest.mark.parametrize(("idiom", "sentence"), [(name, text) for name, texts in EXAMPLES.items() for text in texts])
def test_scanner_finds_idiom_in_every_kind_of_prose(idiom: str, sentence: str) -> None:
    """An example is found in Markdown, in docstrings, in comments and in strings, in any case and across lines."""
    assert found(sentence) == [idiom]
    assert found(sentence.upper()) in ([idiom], [])
    assert found(sentence.replace(" ", "\n")) == [idiom]
    assert found(f'"""\n{sentence}\n"""\n', kind=in_python) == [idiom]
    assert found("# " + sentence.replace(" ", "\n# ") + "\n", kind=in_python) == [idiom]
    assert found(f"raise E({'It is so: ' + sentence!r})\n", kind=in_python) == [idiom]


@pytest.mark.parametrize("sentence", CLEAN)
def test_scanner_passes_plain_sentence(sentence: str) -> None:
    """Normal technical English has no hit."""
    assert found(sentence) == []


def test_scanner_reports_each_place_in_python() -> None:
    """Docstrings of modules, classes, functions and attributes, comments, errors and f-strings: each with its line."""
    source = '''"""Module.

Nobody.
"""
X = 1
"""Anew."""


class C:
    """Somebody."""

    y: int = 2
    """
    Told.
    """

    async def f(self) -> None:
        """Gives it back."""
        # One line,
        # whoever reads it.
        z = 1  # It is over.
        raise ValueError(f"line {z} of it " "is gone, so retry")
'''
    hits = [hit for prose in in_python(source) for hit in hits_in(prose)]
    assert sorted((hit.line, hit.idiom) for hit in hits) == [
        (3, "nobody, somebody, anybody, everybody"),
        (6, "anew"),
        (10, "nobody, somebody, anybody, everybody"),
        (14, "told"),
        (18, "give back"),
        (20, "who, whom, whoever"),
        (21, "is over"),
        (22, "is gone"),
    ]
    assert str(min(hits, key=lambda hit: hit.line)) == (
        'module.py:3: nobody, somebody, anybody, everybody — "Module. Nobody."'
    )


def test_scanner_ignores_code() -> None:
    """Fences, text in backticks, link targets, doctests, short strings, names and tool directives are no prose."""
    assert found("Call `nobody` or ``who `x` anew``, then [read](docs/who-is-told.md).\n") == []
    assert found("```console\n$ who\nnobody\n```\n\n~~~\nanew\n~~~\n") == []
    assert found(
        '"""\nPlain.\n\n>>> who("nobody")\n\'told\'\n"""\nwho = nobody("anew")  # noqa: told\n', kind=in_python
    ) == ["told"]
    assert found("x = {'nobody': 'is over'}\n", kind=in_python) == []


def test_scanner_reads_text_after_code() -> None:
    """Code ends where it ends: prose below a fence and beside backticks is searched, with its own line number."""
    text = "# T\n\n```python\nwho()\n```\n\nThe row `x`\nis gone.\n\nA lone ` mark.\n\nTold `b`, not `told`.\n"
    hits = hits_in(Prose(Path("page.md"), 1, "page", text))
    assert [(hit.line, hit.idiom) for hit in hits] == [(8, "is gone"), (12, "told")]


def test_measure_counts_pieces_words_and_hits() -> None:
    """Words are counted outside code; a piece with two hits is one piece; excluded hits do not count."""
    texts = ["Nobody is told.", "Return `the whole offset` now.", "A clean one."]
    prose = [Prose(Path("page.md"), 1, "page", text) for text in texts]
    assert measure(prose) == Measure(pieces=3, pieces_with_hit=1, words=8, hits=2)
    assert measure(prose).per_1000_words == 250
    assert measure(prose, without=hits_in(prose[0])) == Measure(pieces=3, pieces_with_hit=0, words=8, hits=0)


def test_command_exits_with_1_on_hit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints each hit with its line, a summary, and has status 0 for clean files only."""
    bad, good = tmp_path / "bad.md", tmp_path / "good.py"
    bad.write_text("# Title\n\nNobody reads it.\n")
    good.write_text('"""A clean docstring."""\n')
    assert main([str(good)]) == 0
    assert "docstrings: 0 of 1 with a hit (0.0%)" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 1
    assert f'{bad}:3: nobody, somebody, anybody, everybody — "' in capsys.readouterr().out


@pytest.mark.parametrize("package", ["alembic", "cattrs", "packaging"])
def test_well_written_packages_pass(package: str) -> None:
    """Normal English stays legal: fewer than one in a hundred docstrings of published packages has a hit."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    figures = measure(pieces(Path(spec.submodule_search_locations[0]), kinds=DOCSTRINGS))
    assert figures.pieces > 100
    assert figures.share < 0.01


# --- the glossary -------------------------------------------------------------------------------------------------

ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def terms() -> dict[str, str]:
    """
    The anchors of the glossary's table in its order, each with the term in the same cell.
    """
    rows = [line.split("|")[1] for line in GLOSSARY.read_text().splitlines() if re.match(r"\|.*<a id=", line)]
    return {ANCHOR.findall(cell)[0]: re.sub(r"<[^>]*>|[*`]|\(.*?\)", "", cell).strip() for cell in rows}


def normalized(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).casefold()


def test_glossary_links_have_an_anchor() -> None:
    """Every link into the glossary reaches an entry, and every anchor is defined once."""
    anchors = ANCHOR.findall(GLOSSARY.read_text())
    assert sorted(set(anchors)) == sorted(anchors)
    for page in PAGES:
        text = CODE.sub("", page.read_text())
        links = re.findall(r"\]\([^)\s#]*glossary\.md#([^)\s]+)\)", text)
        links += re.findall(r"\]\(#([^)\s]+)\)", text) if page == GLOSSARY else []
        assert [link for link in links if link not in anchors] == [], page


def test_glossary_is_sorted() -> None:
    """Terms are in alphabetical order, each once."""
    names = [normalized(term) for term in terms().values()]
    assert len(names) > 30
    assert [(first, second) for first, second in pairwise(names) if first >= second] == []


def test_glossary_terms_are_used() -> None:
    """Every term, or a form of it after a comma, appears in the source or on another page, unless it is planned."""
    planned = set(re.findall(r'<a id="([^"]+)"></a>[^|]*\|[^|]*\(planned, not in the code yet\)', GLOSSARY.read_text()))
    files = [*(page for page in PAGES if page != GLOSSARY), *(ROOT / "src").rglob("*.py")]
    used = normalized("\n".join(file.read_text() for file in files))
    unused = [
        term
        for anchor, term in terms().items()
        if anchor not in planned and not any(normalized(form).strip() in used for form in re.split("[,/·]", term))
    ]
    assert unused == []
