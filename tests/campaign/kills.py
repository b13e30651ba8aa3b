"""
Kill a service under load repeatedly, and verify every acknowledgement: `nox -s campaign`.

`PYTHONPATH=tests python -m campaign.kills --cycles 300` runs on the embedded default, with
`--stack servers` on PostgreSQL, Valkey and S3. At the first violation it prints it, keeps the data
folder and exits with status 1. Random choices depend on the seed, the machine's timing does not.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from campaign.cycle import ANY_TIME_SECONDS, SETTINGS, WAYS, Campaign, Figures, Watch
from campaign.victim import TIMEOUT_SECONDS, ServiceUnderTest, Violation
from support.clients.journal import NOT_SENT, is_uncertain
from support.servers import backends
from support.servers.service import SFT
from support.servers.stack import settings_on

SWEEP_EVERY: Final = 10


@contextmanager
def settings_of(stack: str) -> Iterator[Mapping[str, str]]:
    """
    The settings of a service on a stack whose servers run until the block ends.
    """
    with ExitStack() as started:
        named: Mapping[str, str] = {}
        if stack == "servers":
            postgres = started.enter_context(backends.own_postgres())
            valkey = started.enter_context(backends.own_valkey())
            s3 = started.enter_context(backends.own_s3())
            named = started.enter_context(settings_on(postgres, valkey, s3))
        yield {**named, **SETTINGS}


def run(
    root: Path,
    settings: Mapping[str, str],
    *,
    cycles: int,
    seed: int,
    workers: int,
    program: Sequence[str] = SFT,
    patience_seconds: float = TIMEOUT_SECONDS,
    sweep_every: int = SWEEP_EVERY,
    ways: Mapping[str, int] = WAYS,
    within_seconds: float = ANY_TIME_SECONDS,
    verbose: bool = False,
) -> Figures:
    """
    Run the cycles, with a sweep after every `sweep_every` of them and at the end.

    Raises:
        Violation: an acknowledgement was not kept.
    """
    target = ServiceUnderTest(root, settings, workers=workers, program=program, patience_seconds=patience_seconds)
    sweeps_beside = "DATABASE_URL" in settings
    watch = Watch(within_seconds)
    campaign = Campaign(target, random.Random(seed), sweeps_beside=sweeps_beside, ways=ways, watch=watch)
    number = 0
    try:
        campaign.begin()
        for number in range(1, cycles + 1):
            campaign.cycle()
            if number % sweep_every == 0 or number == cycles:
                campaign.sweep()
            if verbose and number % 10 == 0:
                print(f"{number} of {cycles} cycles", flush=True)
    except Violation as violation:
        raise Violation(f"seed {seed}, cycle {number} of {cycles}:\n  {violation}") from violation
    finally:
        target.stop()
    return campaign.total()


def table(figures: Figures, seconds: float) -> str:
    """
    The figures as a table for people.
    """
    cycles = sum(figures.kills.values())
    lines = [f"{cycles} cycles in {seconds:.0f} s, {sum(figures.statuses.values())} requests", ""]
    lines.append(f"{'killed':40} {'kills':>6}    recovered after, s: median   max")
    for way, times in sorted(figures.seconds_to_health.items()):
        lines.append(f"{way:40} {figures.kills[way]:6} {statistics.median(times):28.2f} {max(times):5.2f}")
    lines += ["", f"{'moment of the kill':40} {'kills':>6}"]
    lines += [f"{moment:40} {count:6}" for moment, count in sorted(figures.moments.items())]
    lines += ["", f"{'request':20} {'acknowledged':>12} {'in doubt':>9} {'not sent':>9}   refused"]
    for verb in sorted({verb for verb, _ in figures.statuses}):
        statuses = Counter({status: count for (of, status), count in figures.statuses.items() if of == verb})
        done = sum(count for status, count in statuses.items() if status and status < 300)
        unsure = sum(count for status, count in statuses.items() if is_uncertain(status))
        refusals = sorted((status, count) for status, count in statuses.items() if status and status >= 400)
        refused = ", ".join(f"{status}: {count}" for status, count in refusals)
        lines.append(f"{verb:20} {done:12} {unsure:9} {statuses[NOT_SENT]:9}   {refused}")
    deleted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(figures.swept.items()))
    lines += ["", f"files read back and compared after kills: {figures.files_verified}; lost: 0"]
    lines += [f"found by {figures.sweeps} sweeps: {deleted or 'nothing'}; left after them: 0"]
    return "\n".join(lines)


def main() -> None:
    """
    Run a campaign and print its table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--stack", choices=["embedded", "servers"], default="embedded")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--workers", type=int, help="1 on the embedded default, 2 on servers")
    arguments = parser.parse_args()
    workers = arguments.workers or {"embedded": 1, "servers": 2}[arguments.stack]
    root = Path(tempfile.mkdtemp(prefix="sft-campaign-"))
    print(f"{arguments.stack}, {workers} workers, seed {arguments.seed}", flush=True)
    start = time.monotonic()
    try:
        with settings_of(arguments.stack) as settings:
            figures = run(root, settings, cycles=arguments.cycles, seed=arguments.seed, workers=workers, verbose=True)
    except Violation as violation:
        print(f"VIOLATED: {violation}\nThe data is kept in {root}")
        raise SystemExit(1) from None
    print(table(figures, time.monotonic() - start))
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
