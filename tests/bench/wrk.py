"""
wrk, a load generator in C: it takes little of the cores that it shares with the measured service.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import attrs

_SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method = "{method}"
wrk.body = file:read("*a")
file:close()
{headers}
"""
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)", flags=re.MULTILINE)
_COUNT = re.compile(r"^\s+([0-9]+) requests in", flags=re.MULTILINE)
_PERCENTILE = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s) *$", flags=re.MULTILINE)
_FAULTS = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@attrs.frozen
class Load:
    """
    One request, sent again and again.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class Answered:
    """
    What wrk has measured: requests, requests a second, and two percentiles of the latency in milliseconds.
    """

    count: int
    rate: float
    median: float
    p99: float


def send(load: Load, port: int, folder: Path, *, seconds: float, connections: int = 16) -> Answered:
    """
    Send a load over kept-alive connections; every response must be a success.
    """
    body, script = folder / "body", folder / "load.lua"
    body.write_bytes(load.body)
    headers = "\n".join(f'wrk.headers["{name}"] = [[{value}]]' for name, value in load.headers.items())
    script.write_text(_SCRIPT.format(body=body, method=load.method, headers=headers))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "30s", "-s", str(script)]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{load.path}"], capture_output=True, text=True, check=True)
    if fault := _FAULTS.search(done.stdout):
        raise RuntimeError(f"{load.method} {load.path}: {fault.group()}")
    count, rate = _COUNT.search(done.stdout), _RATE.search(done.stdout)
    assert count is not None
    assert rate is not None
    waits = {found[1]: float(found[2]) * _MILLISECONDS[found[3]] for found in _PERCENTILE.finditer(done.stdout)}
    return Answered(int(count[1]), float(rate[1]), waits["50"], waits["99"])
