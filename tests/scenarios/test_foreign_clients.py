"""
Programs that people fetch and send files with, each broken off in the middle and begun again.
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
"""Seconds that each 64 KiB take on a slow line, so that something may happen in the middle."""


@attrs.frozen
class Stored:
    """
    A file of somebody's, the line on which it is fetched, and a folder to fetch it to.
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

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.line.port}{path}"

    @property
    def address(self) -> str:
        return self.at(f"{self.service.api}/files/{self.file}/download")

    def link(self, **terms: Any) -> str:
        response = self.service.call("POST", f"/files/{self.file}/share", token=self.token, body=terms)
        return self.at(response.json()["share_url"])

    def fetched(self) -> int:
        """
        How many bytes have been written so far, under whatever name.
        """
        return sum(path.stat().st_size for path in self.folder.glob("fetched*"))

    @contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """
        Run a program on a slow line until a part of the file has come; the line is as usual afterwards.
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
        Run a program to its end and return its status.
        """
        done = subprocess.run(
            command, cwd=self.folder, env=environment(self.folder), capture_output=True, check=False, timeout=60
        )
        return done.returncode

    @property
    def marker(self) -> str:
        """
        A header by which the log knows a request again.
        """
        return f"X-Request-ID: {self.file}"

    def answers(self) -> list[tuple[int, int]]:
        """
        Status and length of each answer to a marked request for bytes, as the log has them.
        """
        lines = [json.loads(line) for line in self.service.log.read_text().splitlines() if line.startswith("{")]
        marked = [line for line in lines if line.get("request_id") == self.file and line.get("method") == "GET"]
        return [(line["status"], line["bytes"]) for line in marked]


def environment(home: Path) -> dict[str, str]:
    """
    Nothing of what the person who runs the tests has set up for these programs.
    """
    return {"PATH": os.environ["PATH"], "HOME": str(home), "RCLONE_CONFIG": str(home / "none.conf")}


@pytest.fixture
def stored(service: Service, tmp_path: Path) -> Iterator[Stored]:
    name = f"f{os.urandom(6).hex()}"
    token = service.sign_up(name)
    with connected(service.port) as connection:
        headers = {"Authorization": f"Bearer {token}"}
        send(connection, "PUT", f"{service.api}/files/fetched.bin", headers, len(CONTENT))
        connection.sendall(CONTENT)
        file = receive(connection).json()["id"]
    with relay("127.0.0.1", service.port) as line:
        yield Stored(service=service, line=line, token=token, file=file, folder=tmp_path)


def resuming(program: str, address: str, target: Path, *more: str) -> list[str]:
    """
    The command that fetches what is still missing of a file.
    """
    if program == "curl":
        return ["curl", "-sS", "--fail", "-C", "-", "-o", str(target), *more, address]
    more = tuple("--header" if word == "-H" else word for word in more)
    return ["wget", "-q", "-c", "-O", str(target), *more, address]


def rclone(stored: Stored, *more: str) -> list[str]:
    """
    The command that copies a file from its address by up to four ranges at once.
    """
    folder, _, name = stored.address.rpartition("/")
    command = [RCLONE, "copyto", f":http,url='{folder}/':{name}", str(stored.target), "--header", stored.header]
    return [*command, "--multi-thread-streams", "4", "--multi-thread-cutoff", "1M", *more]


@pytest.mark.parametrize("program", RESUMING)
def test_a_killed_download_is_gone_on_with(stored: Stored, program: str) -> None:
    """What is there stays, the rest comes by a range, and the file is whole."""
    command = resuming(program, stored.address, stored.target, "-H", stored.header)
    with stored.started(*command) as process:
        process.kill()
    came = stored.fetched()
    assert MIB < came < len(CONTENT)
    again = resuming(program, stored.address, stored.target, "-H", stored.header, "-H", stored.marker)
    assert stored.run(*again) == 0
    assert stored.target.read_bytes() == CONTENT
    assert stored.answers() == [(206, len(CONTENT) - came)]


@pytest.mark.parametrize("program", RESUMING)
def test_a_broken_connection_is_gone_on_with(stored: Stored, program: str) -> None:
    """A body that ends too soon is seen to: wget asks for the rest by itself, curl says that it is incomplete."""
    command = resuming(program, stored.address, stored.target, "-H", stored.header, "-H", stored.marker)
    with stored.started(*command) as process:
        stored.line.cut()
        stored.line.delay_seconds = 0
        assert process.wait(30) == {"curl": 18, "wget": 0}[program]
    if program == "curl":
        assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT
    eventually(lambda: [status for status, _ in stored.answers()] == [200, 206])
    assert max(length for _, length in stored.answers()) < len(CONTENT)


def test_rclone_goes_on_after_a_broken_connection(stored: Stored) -> None:
    """It asks for the rest of each range by itself."""
    command = rclone(stored, "--multi-thread-chunk-size", "4M", "--header", stored.marker)
    with stored.started(*command) as process:
        stored.line.cut()
        stored.line.delay_seconds = 0
        assert process.wait(60) == 0
    assert stored.target.read_bytes() == CONTENT
    # Three ranges were broken off, and the rest of each is a range of its own.
    eventually(lambda: len(stored.answers()) >= 6)
    assert {status for status, _ in stored.answers()} == {206}


def test_rclone_fetches_by_several_ranges_at_once(stored: Stored) -> None:
    """Killed in the middle it leaves no file of that name; again, the ranges make up the file."""
    command = rclone(stored, "--multi-thread-chunk-size", "4M")
    with stored.started(*command) as process:
        process.kill()
    assert not stored.target.exists()
    assert stored.run(*command, "--header", stored.marker) == 0
    assert stored.target.read_bytes() == CONTENT
    ranges = [(206, MIB + 12_345), (206, 4 * MIB), (206, 4 * MIB)]
    assert sorted(stored.answers()) == ranges


def test_rclone_copies_from_an_address(stored: Stored) -> None:
    """With a header of its owner's or by a link, whose file name it takes; killed, it begins again."""
    command = [RCLONE, "copyurl", stored.address, str(stored.target), "--header", stored.header]
    with stored.started(*command) as process:
        process.kill()
    assert stored.fetched() < len(CONTENT)
    assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT
    stored.target.unlink()
    assert stored.run(RCLONE, "copyurl", "-a", "--header-filename", stored.link(), str(stored.folder)) == 0
    assert stored.target.read_bytes() == CONTENT


@pytest.mark.parametrize(("asked", "first", "last"), [("100-199", 100, 200), ("-5", len(CONTENT) - 5, None)])
def test_curl_fetches_a_range(stored: Stored, asked: str, first: int, last: int | None) -> None:
    """From a place to another, or so many bytes from the end."""
    command = ["curl", "-sS", "--fail", "-r", asked, "-o", str(stored.target), "-H", stored.header, stored.address]
    assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT[first:last]


@pytest.mark.parametrize("program", RESUMING)
def test_each_request_by_a_link_is_a_download_of_it(stored: Stored, program: str) -> None:
    """Who was broken off goes on as long as the link has downloads left: one of two is spent by that."""
    link = stored.link(max_downloads=2)
    command = resuming(program, link, stored.target)
    with stored.started(*command) as process:
        process.kill()
    assert stored.run(*command) == 0
    assert stored.target.read_bytes() == CONTENT
    assert stored.run("curl", "-sS", "--fail", link) == 22


def test_a_download_by_a_link_of_one_is_not_gone_on_with(stored: Stored) -> None:
    """Its one download was begun: nobody gets another byte by it, not even who was broken off, who keeps what came."""
    command = resuming("curl", stored.link(max_downloads=1), stored.target)
    with stored.started(*command) as process:
        process.kill()
    came = stored.fetched()
    assert stored.run(*command) == 22
    assert stored.target.read_bytes() == CONTENT[:came]


@pytest.mark.parametrize("way", ["body", "form"])
def test_a_killed_upload_leaves_nothing(stored: Stored, way: str) -> None:
    """Curl is gone in the middle of a body or of a form: no file is listed, and no part stays."""
    service, source = stored.service, stored.folder / "sent.bin"
    source.write_bytes(CONTENT)
    what = {
        "body": ["-T", str(source), stored.at(f"{service.api}/files/sent.bin")],
        "form": ["-F", f"file=@{source}", stored.at(f"{service.api}/files/upload")],
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
