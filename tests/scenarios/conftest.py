"""
A real server for end-to-end tests: `sft serve` as a process, on its embedded default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients.owner import Curl, curl_at
from support.servers.service import Service, serving, serving_as_the_readme_says


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root: Path = tmp_path_factory.mktemp("service")
    # Cheap password hashes: these tests do not measure sign-in.
    with serving(root, settings={"ARGON2_MEMORY_KIB": "8192"}) as running:
        yield running


@pytest.fixture(scope="session")
def readme_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving_as_the_readme_says(tmp_path_factory.mktemp("readme")) as running:
        yield running


@pytest.fixture(scope="session")
def call(readme_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Curl:
    return curl_at(readme_service, tmp_path_factory.mktemp("curl"))
