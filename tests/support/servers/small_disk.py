"""
A service on a file system of a few MiB in memory that can become full.

The mount belongs to a mount namespace of the service's processes and ends with them. A user namespace lets any user
create one; where the system has none, root needs only the mount namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import attrs
import pytest

from support.servers.processes import reusable_port, running
from support.servers.service import Service

_MOUNT = 'mount -t tmpfs -o "size=$0,mode=0700" none "$1" && shift'
_UNSHARE_COMMANDS = (("unshare", "--user", "--map-root-user", "--mount"), ("unshare", "--mount"))


@attrs.frozen
class SmallDisk:
    """
    The service, and its small file system at `folder`, accessed from outside its namespace.
    """

    service: Service
    folder: Path
    outside: Path

    @property
    def free(self) -> int:
        """
        The number of free bytes.
        """
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def fill(self) -> None:
        """
        Fill the file system to the last byte, as another program would.
        """
        with (self.folder / "others").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(min(1 << 20, self.free) or 1))

    def fill_leaving(self, free_bytes: int) -> None:
        """
        Fill the file system except for this many bytes.
        """
        self.fill()
        others = self.folder / "others"
        os.truncate(others, others.stat().st_size - free_bytes)

    def clear(self) -> None:
        """
        Delete the file that fills the file system.
        """
        (self.folder / "others").unlink(missing_ok=True)

    def is_tidy(self) -> bool:
        """
        Return `Service.is_tidy` of a copy: SQLite cannot follow a path into another namespace.
        """
        copy = self.outside / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(self.service.data, copy, copy_function=_copy_rows)
        except (FileNotFoundError, shutil.Error):
            return False
        (copy / "blobs" / "others").unlink(missing_ok=True)
        return attrs.evolve(self.service, data=copy).is_tidy()


def _copy_rows(source: str, target: str) -> None:
    """
    Copy the database file; of a blob create only the name.
    """
    if Path(source).name.startswith("sft.db"):
        shutil.copyfile(source, target)
    else:
        Path(target).touch()


@cache
def _unshare_command() -> tuple[str, ...]:
    """
    Return the command that creates a mount namespace here; skip the test if none works.
    """
    failures = []
    for unshare in _UNSHARE_COMMANDS:
        try:
            done = subprocess.run(
                [*unshare, "sh", "-c", f"{_MOUNT} && true", "1m", "/tmp"], capture_output=True, check=False, timeout=20
            )
        except FileNotFoundError as missing:
            failures.append(str(missing))
            continue
        if done.returncode == 0:
            return unshare
        failures.append(done.stderr.decode(errors="replace").strip())
    pytest.skip(
        "A full disk needs a file system of its own, which cannot be mounted here: it needs user namespaces"
        f" (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns) or CAP_SYS_ADMIN. {failures}"
    )


@contextmanager
def serving_on_a_small_disk(
    root: Path, *, size: str, at: str = "data", log_at: str = "sft.log", settings: Mapping[str, str] = {}
) -> Iterator[SmallDisk]:
    """
    Run the embedded default with a file system of `size` at a folder below `root`, where the log may be too.
    """
    folder = root / at
    folder.mkdir(parents=True)
    port, log = reusable_port(), root / log_at
    serve = f'{_MOUNT} && log="$1" && shift && exec "$@" >"$log" 2>&1'
    command = [*_unshare_command(), "sh", "-c", serve, size, str(folder), str(log)]
    command += [sys.executable, "-m", "sft_http.cli.main", "serve", "--data", str(root / "data"), "--port", str(port)]
    with running(command, port, root / "start.log", environment={**os.environ, **settings}) as process:
        inside = Path(f"/proc/{process.pid}/root")
        data, log, folder = (inside / path.relative_to("/") for path in (root / "data", log, folder))
        service = Service(port=port, process=process, data=data, log=log, settings=settings)
        yield SmallDisk(service=service, folder=folder, outside=root)
