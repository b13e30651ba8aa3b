"""
Rates and latencies of small authenticated requests served from PostgreSQL.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.load import get, run_requests
from bench.measure import Findings, Measure, Options, Spread
from bench.transfers import Client
from support.servers.backends import own_postgres
from support.servers.service import serving

LISTED = 20
NOTE = "two workers on PostgreSQL; the token is verified and the session looked up each time; one client, in Python"


def measures(options: Options) -> Findings:
    """
    Measure the caller's account, one file's metadata, and a listing.
    """
    rows: list[Measure] = []
    with (
        tempfile.TemporaryDirectory(prefix="sft-bench-") as folder,
        own_postgres() as postgres,
        postgres.database() as url,
        serving(Path(folder), settings={"DATABASE_URL": url}, workers=2) as service,
    ):
        client = Client(service, service.sign_up("bench"))
        file, *_ = [client.put(1 << 10) for _ in range(LISTED)]
        for path, name in (
            ("/auth/me", "GET /auth/me"),
            (f"/files/{file}", "GET /files/{id}"),
            ("/files/", f"GET /files/, {LISTED} files"),
        ):
            request = get(service, path, client.token)

            def stats(count: int, request: bytes = request) -> tuple[float, float, float]:
                found = run_requests(service, lambda _: request, 200, count=count, connections=options.connections)
                p99 = statistics.quantiles(found.seconds, n=100)[98]
                return found.rate, statistics.median(found.seconds) * 1e3, p99 * 1e3

            stats(options.files // 10)
            rounds = [stats(options.files // 2) for _ in range(options.rounds)]
            for number, (what, unit) in enumerate((("", "requests/s"), (" median", "ms"), (" p99", "ms"))):
                spread = Spread.of(one[number] for one in rounds)
                rows.append(Measure(name=f"{name} on PostgreSQL{what}", unit=unit, ours=spread, note=NOTE))
    return Findings(rows)
