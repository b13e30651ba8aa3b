"""
Measure transfers against nginx on this machine: `nox -s bench` or `PYTHONPATH=tests python -m bench.run`.

Each round runs every measure once, ours and the reference in turn, with the same client. What is
printed are ratios of rates, ours to the reference's: on a noisy machine nothing else holds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.nginx import nginx
from support.service import Service, serving
from support.wire import download, multipart, upload

MIB = 1 << 20


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def expect(status: int, answer: object) -> None:
    if getattr(answer, "status", None) != status:
        raise RuntimeError(f"expected {status}, got {answer}")


def put_nginx(port: int, size: int) -> None:
    answer = upload(port, "PUT", "/reference.bin", size=size, headers={})
    if answer.status not in {201, 204}:
        raise RuntimeError(f"nginx answered {answer.status}")


def post_sft(server: Service, token: str, size: int) -> str:
    headers, around = multipart("bench.bin")
    headers["Authorization"] = f"Bearer {token}"
    answer = upload(server.port, "POST", f"{server.api}/files/upload", size=size, headers=headers, around=around)
    expect(201, answer)
    return str(answer.json()["id"])


def put_sft(server: Service, token: str, size: int) -> str:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    answer = upload(server.port, "PUT", f"{server.api}/files/bench.bin", size=size, headers=headers)
    expect(201, answer)
    return str(answer.json()["id"])


def round_of(server: Service, token: str, reference: int, size: int) -> dict[str, tuple[float, float]]:
    """
    Seconds of ours and of the reference's, for each measure.
    """
    stored: list[str] = []
    ours_put = timed(lambda: stored.append(put_sft(server, token, size)))
    theirs_up = timed(lambda: put_nginx(reference, size))
    ours_up = timed(lambda: stored.append(post_sft(server, token, size)))
    path = f"{server.api}/files/{stored[0]}"
    ours_down = timed(lambda: download(server.port, f"{path}/download", token=token))
    theirs_down = timed(lambda: download(reference, "/reference.bin"))
    for file in stored:
        expect(204, server.call("DELETE", f"/files/{file}", token=token))
    return {
        "raw PUT, encrypted : nginx PUT, plaintext": (ours_put, theirs_up),
        "multipart upload, encrypted : nginx PUT, plaintext": (ours_up, theirs_up),
        "download, decrypted : nginx GET, plaintext": (ours_down, theirs_down),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.size_mib * MIB
    with (
        tempfile.TemporaryDirectory(prefix="sft-bench-") as folder,
        nginx(Path(folder) / "nginx") as reference,
        serving(Path(folder) / "sft") as server,
    ):
        token = server.sign_up("bench")
        round_of(server, token, reference, min(size, 64 * MIB))
        rounds = [round_of(server, token, reference, size) for _ in range(arguments.rounds)]
    print(f"{arguments.size_mib} MiB, {arguments.rounds} rounds; rate of ours / rate of the reference")
    print(f"{'measure':55} {'min':>6} {'median':>6} {'max':>6}   ours, MiB/s   reference, MiB/s")
    for measure in rounds[0]:
        ratios = sorted(theirs / ours for ours, theirs in (result[measure] for result in rounds))
        ours, theirs = (
            arguments.size_mib / statistics.median(result[measure][side] for result in rounds) for side in (0, 1)
        )
        middle = statistics.median(ratios)
        print(f"{measure:55} {ratios[0]:6.2f} {middle:6.2f} {ratios[-1]:6.2f}   {ours:11.0f}   {theirs:16.0f}")


if __name__ == "__main__":
    main()
