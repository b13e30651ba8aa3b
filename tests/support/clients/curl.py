"""
curl as a foreign client, with the output that a user at a terminal sees.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class CurlResult:
    """
    The status, the headers (names in lower case, the last one wins) and the body of a response.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def curl(folder: Path, *arguments: str, output: Path | None = None) -> CurlResult:
    """
    Run curl, and fail the test if curl itself fails; a file at `output` is kept and appended to.
    """
    head, body = folder / "head.txt", output or folder / "body.bin"
    if output is None:
        body.write_bytes(b"")
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "-D", str(head), "-o", str(body), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    # After a redirect or a 100 (Continue) there are several heads; the last one belongs to the body.
    lines = head.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return CurlResult(int(lines[0].split()[1]), headers, body.read_bytes())
