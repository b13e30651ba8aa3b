"""
Files over the size limit and of types that are not allowed, tested with curl.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_adapters.settings.catalogue import SETTINGS
from support.clients.owner import Curl, assert_problem, bearer_arguments, curl_at
from support.servers.service import Service, serving

LIMIT = 1_000_000
OWNER_TYPES = [".pdf", ".doc", ".docx", ".xls", ".xlsx", ".txt", ".jpg", ".png", ".zip"]
EXAMPLE_LINE = re.compile(r"^#ALLOWED_EXTENSIONS=(.+)$", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def example_types() -> str:
    """
    The value of `ALLOWED_EXTENSIONS` in `.env.example`.
    """
    (found,) = EXAMPLE_LINE.findall((Path(__file__).parents[2] / ".env.example").read_text())
    return str(found)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, example_types: str) -> Iterator[Service]:
    limits = {"MAX_FILE_SIZE": str(LIMIT), "ALLOWED_EXTENSIONS": example_types, "ARGON2_MEMORY_KIB": "8192"}
    with serving(tmp_path_factory.mktemp("limited"), settings=limits) as running:
        yield running


@pytest.fixture(scope="module")
def call(limited: Service, tmp_path_factory: pytest.TempPathFactory) -> Curl:
    return curl_at(limited, tmp_path_factory.mktemp("curl"))


@pytest.fixture(scope="module")
def bearer(limited: Service) -> tuple[str, str]:
    return bearer_arguments(limited.sign_up("limited"))


def file_of(folder: Path, size: int) -> Path:
    path = folder / "large.bin"
    path.write_bytes(bytes(size))
    return path


def test_env_example_lists_the_owners_nine_types(example_types: str) -> None:
    """The line is also the documented example of the setting."""
    assert example_types.split(",") == OWNER_TYPES
    assert [setting.example for setting in SETTINGS if setting.name == "ALLOWED_EXTENSIONS"] == [example_types]


def test_allowed_type_is_stored(call: Curl, bearer: tuple[str, str]) -> None:
    """The value of the example line allows its types, also in capitals."""
    response = call("/files/upload", *bearer, "-F", "file=content;filename=a.Docx")
    assert (response.status, response.json()["filename"]) == (201, "a.Docx")


def test_other_type_is_400(call: Curl, limited: Service, bearer: tuple[str, str]) -> None:
    """The error names the extension, and nothing is stored."""
    before = limited.stored()
    response = call("/files/upload", *bearer, "-F", "file=content;filename=a.pdf.exe")
    assert_problem(response, 400, "File type .exe not allowed")
    assert limited.is_tidy()
    assert limited.stored() == before


def test_file_of_exactly_the_limit_is_stored(call: Curl, bearer: tuple[str, str], tmp_path: Path) -> None:
    """The limit applies to the file without the form around it."""
    path = file_of(tmp_path, LIMIT)
    response = call("/files/upload", *bearer, "-F", f"file=@{path};filename=a.zip")
    assert (response.status, response.json()["file_size"]) == (201, LIMIT)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [LIMIT + 1, 20 * LIMIT])
def test_file_over_the_limit_is_413(
    call: Curl, limited: Service, bearer: tuple[str, str], tmp_path: Path, size: int, *, chunked: bool
) -> None:
    """One byte or twenty times too many, announced or not, are refused, and nothing is stored."""
    before, path = limited.stored(), file_of(tmp_path, size)
    how = ("-H", "Transfer-Encoding: chunked") if chunked else ()
    response = call("/files/upload", *bearer, *how, "-F", f"file=@{path};filename=a.zip")
    assert_problem(response, 413, f"The file is larger than the limit of {LIMIT} bytes.")
    assert limited.is_tidy()
    assert limited.stored() == before
