"""
Interrupted and resumed downloads and uploads by curl, wget and rclone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.clients.wire import connected, receive, send
from support.faults.proxy import Proxy, relay
from support.servers.service import Service
from support.waiting import eventually

MIB = 1 << 20
CONTENT = os.urandom(9 * MIB + 12_345)
RCLONE = str(Path(sys.executable).parent / "rclone")
HAVE_WGET = shutil.which("wget") is not None
RESUMING = ["curl", "wget"] if HAVE_WGET else ["curl"]
SLOW = 0.01
"""Delay of each 64 KiB in seconds on a slow connection, so that a test can act during the transfer."""


@attrs.frozen
class StoredFile:
    """
    A stored file of one user, the proxy through which it is downloaded, and a folder for the download.
    """

    service: Service
    line: Proxy
    token: str
    file: str
    folder: Path

    @property
    def target(self) -> Path:
        return self.folder / "fetched.bin"

    @property
    def header(self) -> str:
        return f"Authorization: Bearer {self.token}"

    def url_of(self, path: str) -> str:
        return f"http://127.0.0.1:{self.line.port}{path}"

    @property
    def url(self) -> str:
        return self.url_of(f"{self.service.api}/files/{self.file}/download")

    def link(self, **terms: Any) -> str:
        response = self.service.call("POST", f"/files/{self.file}/share", token=self.token, body=terms)
        return self.url_of(response.json()["share_url"])

    def fetched(self) -> int:
        """
        Return how many bytes have been written so far, under any name.
        """
        return sum(path.stat().st_size for path in self.folder.glob("fetched*"))

    @contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """
        Run a program through a slow proxy until part of the file has arrived; then restore the proxy's speed.
        """
        self.line.delay_seconds = SLOW
        process = subprocess.Popen(command, cwd=self.folder, env=environment(self.folder), stderr=subprocess.PIPE)
        try:
            eventually(lambda: self.fetched() > MIB)
            yield process
        finally:
            self.line.delay_seconds = 0
            process.kill()
            process.communicate()

    def run(self, *command: str) -> int:
        """
        Run a program to its end and return its exit status.
        """
        done = subprocess.run(
            command, cwd=self.folder, env=environment(self.folder), capture_output=True, check=False, timeout=60
        )
        return done.returncode

    @property
    def marker(self) -> str:
        """
        A header that identifies the request in the log.
        """
        return f"X-Request-ID: {self.file}"

    def responses(self) -> list[tuple[int, int]]:
        """
        Return status and length of each logged response to a marked GET request.
        """
        lines = [json.loads(line) for line in self.service.log.read_text().splitlines() if line.startswith("{")]
        marked = [line for line in lines if line.get("request_id") == self.file and line.get("method") == "GET"]
        return [(line["status"], line["bytes"]) for line in marked]


def environment(home: Path) -> dict[str, str]:
    """
    The environment of the programs, without the settings of the person running the tests.
    """
    return {"PATH": os.environ["PATH"], "HOME": str(home), "RCLONE_CONFIG": str(home / "none.conf")}


@pytest.fixture
def stored(service: Service, tmp_path: Path) -> Iterator[StoredFile]:
    name = f"f{os.urandom(6).hex()}"
    token = service.sign_up(name)
    with connected(service.port) as connection:
        headers = {"Authorization": f"Bearer {token}"}
        send(connection, "PUT", f"{service.api}/files/fetched.bin", headers, len(CONTENT))
        connection.sendall(CONTENT)
        file = receive(connection).json()["id"]
    with relay("127.0.0.1", service.port) as line:
        yield StoredFile(service=service, line=line, token=token, file=file, folder=tmp_path)


def resume_command(program: str, url: str, target: Path, *more: str) -> list[str]:
    """
    Return the command that downloads the missing rest of a file.
    """
    if program == "curl":
        return ["curl", "-sS", "--fail", "-C", "-", "-o", str(target), *more, url]
    more = tuple("--header" if word == "-H" else word for word in more)
    return ["wget", "-q", "-c", "-O", str(target), *more, url]


def rclone(stored: StoredFile, *more: str) -> list[str]:
    """
    Return the command that copies a file from its URL by up to four concurrent ranges.
    """
    folder, _, name = stored.url.rpartition("/")
    command = [RCLONE, "copyto", f":http,url='{folder}/':{name}", str(stored.target), "--header", stored.header]
    return [*command, "--multi-thread-streams", "4", "--multi-thread-cutoff", "1M", *more]


@pytest.mark.parametrize("program", RESUMING)
def test_killed_download_is_resumed(stored: StoredFile, program: str) -> None:
    """The second run requests only the missing range, and the file is complete."""
    command = resume_command(program, stored.url, stored.target, "-H", stored.header)
    with stored.started(*command) as process:
        process.kill()
    received = stored.fetched()
    assert MIB < received < len(CONTENT)
    again = resume_command(program, stored.url, stored.target, "-H", stored.header, "-H", stored.marker)
    assert stored.run(*again) == 0
    assert stored.target.read_bytes() == CONTENT
    assert stored.responses() == [(206, len(CONTENT) - received)]


@pytest.mark.parametrize("program", RESUMING)
def test_lost_connection_is_resumed(stored: StoredFile, program: str) -> None:
    """Wget resumes an incomplete body itself; curl exits with status 18 and resumes when it is run again."""
    command = resume_command(program, stored.url, stored.target, "-H", stored.header, "-H", stored.marker)
    with stored.started(*command) as process:
        stored.line.cut()
        stored.line.delay_seconds = 0
        assert process.wait(30) == {"curl": 18, "wget": 0}[program]
    if program == "curl":
        assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT
    eventually(lambda: [status for status, _ in stored.responses()] == [200, 206])
    assert max(length for _, length in stored.responses()) < len(CONTENT)


def test_rclone_resumes_after_a_lost_connection(stored: StoredFile) -> None:
    """It requests the rest of each range itself."""
    command = rclone(stored, "--multi-thread-chunk-size", "4M", "--header", stored.marker)
    with stored.started(*command) as process:
        stored.line.cut()
        stored.line.delay_seconds = 0
        assert process.wait(60) == 0
    assert stored.target.read_bytes() == CONTENT
    # Three ranges were interrupted, and the rest of each is requested as another range.
    eventually(lambda: len(stored.responses()) >= 6)
    assert {status for status, _ in stored.responses()} == {206}


def test_rclone_downloads_by_concurrent_ranges(stored: StoredFile) -> None:
    """Killed during the download it leaves no file under the final name; the next run fetches every range."""
    command = rclone(stored, "--multi-thread-chunk-size", "4M")
    with stored.started(*command) as process:
        process.kill()
    assert not stored.target.exists()
    assert stored.run(*command, "--header", stored.marker) == 0
    assert stored.target.read_bytes() == CONTENT
    ranges = [(206, MIB + 12_345), (206, 4 * MIB), (206, 4 * MIB)]
    assert sorted(stored.responses()) == ranges


def test_rclone_copies_from_a_url(stored: StoredFile) -> None:
    """
    It uses the owner's header, or a link and its file name; after a kill it restarts from the beginning.
    """
    command = [RCLONE, "copyurl", stored.url, str(stored.target), "--header", stored.header]
    with stored.started(*command) as process:
        process.kill()
    assert stored.fetched() < len(CONTENT)
    assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT
    stored.target.unlink()
    assert stored.run(RCLONE, "copyurl", "-a", "--header-filename", stored.link(), str(stored.folder)) == 0
    assert stored.target.read_bytes() == CONTENT


@pytest.mark.parametrize(("asked", "first", "last"), [("100-199", 100, 200), ("-5", len(CONTENT) - 5, None)])
def test_curl_downloads_a_range(stored: StoredFile, asked: str, first: int, last: int | None) -> None:
    """The range has a start and an end, or is a number of bytes at the end."""
    command = ["curl", "-sS", "--fail", "-r", asked, "-o", str(stored.target), "-H", stored.header, stored.url]
    assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT[first:last]


@pytest.mark.parametrize("program", RESUMING)
def test_resuming_through_a_link_consumes_another_download(stored: StoredFile, program: str) -> None:
    """With a budget of two, an interrupted download and its resumption exhaust the link."""
    link = stored.link(max_downloads=2)
    command = resume_command(program, link, stored.target)
    with stored.started(*command) as process:
        process.kill()
    assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT
    assert stored.run("curl", "-sS", "--fail", link) == 22


def test_interrupted_download_through_a_single_use_link_cannot_be_resumed(stored: StoredFile) -> None:
    """The interrupted request consumed the download; the client keeps the bytes it received."""
    command = resume_command("curl", stored.link(max_downloads=1), stored.target)
    with stored.started(*command) as process:
        process.kill()
    received = stored.fetched()
    assert stored.run(*command) == 22
    assert stored.target.read_bytes() == CONTENT[:received]


@pytest.mark.parametrize("way", ["body", "form"])
def test_killed_upload_leaves_nothing(stored: StoredFile, way: str) -> None:
    """Curl is killed while it sends a body or a form: no file is listed, and no part is left."""
    service, source = stored.service, stored.folder / "sent.bin"
    source.write_bytes(CONTENT)
    what = {
        "body": ["-T", str(source), stored.url_of(f"{service.api}/files/sent.bin")],
        "form": ["-F", f"file=@{source}", stored.url_of(f"{service.api}/files/upload")],
    }[way]
    before = service.stored()
    stored.line.delay_seconds = SLOW
    process = subprocess.Popen(["curl", "-sS", "-H", stored.header, *what], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: len(service.stored()) > len(before))
    finally:
        process.kill()
        process.wait()
    stored.line.delay_seconds = 0
    eventually(lambda: service.stored() == before)
    eventually(service.is_tidy)
    assert [file["id"] for file in service.call("GET", "/files/", token=stored.token).json()] == [stored.file]
