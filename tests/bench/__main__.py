"""
Run every benchmark in turn, and print one table of all results.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable

from bench import memory, metadata, requests, small, through_s3, transfers, tus
from bench.measure import MIB, Findings, Measure, Options, table

BENCHMARKS: dict[str, Callable[[Options], Findings]] = {
    "transfers": transfers.measures,
    "tus": tus.measures,
    "s3": through_s3.measures,
    "small": small.measures,
    "metadata": metadata.measures,
    "requests": requests.measures,
    "memory": memory.measures,
}
STALLED = "stalled"
"""A benchmark with its own command and table."""


def stalled() -> str:
    """
    Return the output of the benchmark of stalled clients.
    """
    command = [sys.executable, "-m", "bench.stalled"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def options_of(arguments: argparse.Namespace) -> Options:
    largest = round(arguments.largest_gib * 1024)
    sizes = sorted({size for size in (1, 64, 1024) if size < largest} | {largest})
    found = Options(
        rounds=arguments.rounds,
        size=arguments.size_mib * MIB,
        files=arguments.files,
        memory_sizes=tuple(size * MIB for size in sizes),
    )
    if arguments.quick:
        return Options(rounds=1, size=16 * MIB, files=320, transfers=2, memory_sizes=(MIB, 16 * MIB))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which each pair is measured")
    parser.add_argument("--size-mib", type=int, default=1024, help="size of a large file in MiB")
    parser.add_argument("--files", type=int, default=10_000, help="number of small files")
    parser.add_argument("--largest-gib", type=float, default=3, help="largest file in GiB whose memory use is measured")
    parser.add_argument("--only", choices=[*BENCHMARKS, STALLED], nargs="+", help="run only these benchmarks")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check that the benchmarks run")
    arguments = parser.parse_args()
    options = options_of(arguments)
    # SIGTERM has the effect of Ctrl+C: the servers are stopped, and the results so far are printed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed: list[str] = []
    measures: list[Measure] = []
    details: list[str] = []
    try:
        for name in arguments.only or [*BENCHMARKS, STALLED]:
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                found = Findings([], stalled()) if name == STALLED else BENCHMARKS[name](options)
            except Exception:  # noqa: BLE001 (the results of the other benchmarks are kept)
                traceback.print_exc()
                failed.append(name)
            else:
                measures += found.measures
                details.append(found.details)
    finally:
        print(*filter(None, details), table(measures), sep="\n\n", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
