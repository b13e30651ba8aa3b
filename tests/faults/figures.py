"""
Numbers of injected faults: `python -m faults.figures`, with `src` and `tests` on the path.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from faults import planted, test_disk_calls, test_power_cuts, test_s3_requests
from support.faults.operations import OPERATIONS
from support.faults.power import OUTCOMES
from support.faults.power_cuts import new_machine
from support.faults.s3_proxy import faulty
from support.faults.syscalls import SYSCALL_FAULTS
from support.servers.backends import s3


def main() -> None:
    """
    Count the steps of each operation, and print them with the number of runs that result.
    """
    logging.disable()
    rows, failed, cuts, refused = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as folder, s3() as server_behind, faulty(server_behind) as proxy:
        disk = test_disk_calls.Disk(Path(folder) / "blobs")
        server = test_s3_requests.Server(server_behind, proxy, "sft-test-figures")
        for kind in OPERATIONS:
            calls, requests = test_disk_calls.calls_of(disk, kind), test_s3_requests.requests_of(server, kind)
            snapshots = len(new_machine().snapshots(kind))
            failed += sum(len(test_disk_calls.faults_of(nth, calls)) for nth in range(1, len(calls) + 1))
            refused += sum(len(test_s3_requests.faults_of(nth, requests)) for nth in range(1, len(requests) + 1))
            cuts += snapshots * len(OUTCOMES) + test_power_cuts.EACH
            rows.append(f"{kind.__name__:20}{len(calls):8}{len(requests):10}{snapshots:9}")
        server.client.close()
    rows += [
        f"system calls failed: {failed} runs, in {len(SYSCALL_FAULTS)} ways",
        f"S3 requests broken: {refused} runs, in {len(test_s3_requests.BROKEN)} ways",
        f"power cuts: {cuts}, in {len(OUTCOMES)} classes, {test_power_cuts.EACH * len(OPERATIONS)} of them by lot",
        f"planted bugs found: {len(planted.BUGS)}",
    ]
    sys.stdout.write("\n".join([f"{'operation':20}{'calls':>8}{'requests':>10}{'snapshots':>9}", *rows, ""]))


if __name__ == "__main__":
    main()
