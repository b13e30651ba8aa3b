"""
The service that is killed: restarted on one data folder and port, like under a supervisor.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from campaign import later
from support.clients.tus import workers
from support.servers.processes import kill_tree, processes_matching, reusable_port
from support.servers.service import SFT, Service, serving

TIMEOUT_SECONDS: Final = 60.0
"""Seconds after which an event that has not happened is a fault."""

RETRY_SECONDS: Final = 0.05
"""Seconds before another attempt to start the service."""

LATER_HOURS: Final = 26
"""Hours after which everything unfinished has expired: idle uploads, unreferenced parts, temporary files."""


class Violation(Exception):
    """
    The service has broken a guarantee.
    """


@attrs.define
class ServiceUnderTest:
    """
    A service that is killed and restarted on the same port and data.
    """

    root: Path
    settings: Mapping[str, str]
    workers: int = 1
    program: Sequence[str] = SFT
    patience_seconds: float = TIMEOUT_SECONDS
    port: int = attrs.field(factory=reusable_port)
    refused_starts: int = 0
    _log_size_before: int = attrs.field(default=0, init=False)
    _running: ExitStack = attrs.field(factory=ExitStack, init=False)
    _service: Service | None = attrs.field(default=None, init=False)

    @property
    def service(self) -> Service:
        assert self._service is not None
        return self._service

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def _log(self) -> Path:
        return self.root / "sft.log"

    def start(self) -> None:
        """
        Start the service, and retry while a predecessor still holds the port or the lock.
        """
        end = time.monotonic() + self.patience_seconds
        while not self._has_started():
            if time.monotonic() > end:
                raise Violation(f"the service did not start: {self._refusal()}")
            self.refused_starts += 1
            time.sleep(RETRY_SECONDS)

    def _has_started(self) -> bool:
        self._running.close()
        self._log_size_before = self._log.stat().st_size if self._log.exists() else 0
        started = serving(self.root, workers=self.workers, settings=self.settings, port=self.port, program=self.program)
        try:
            self._service = self._running.enter_context(started)
            # A predecessor may still listen on its port, but the workers are its own.
            while not workers(self.service):
                if self.service.process.poll() is not None:
                    return self._was_refused()
                time.sleep(0.01)
        except (RuntimeError, FileNotFoundError):
            return self._was_refused()
        return True

    def _was_refused(self) -> bool:
        """
        Return False if a predecessor prevented the start, else raise a `Violation`.
        """
        message = self._refusal()
        if "cannot listen on" not in message and "is locked: another process" not in message:
            raise Violation(f"the service does not start: {message}")
        return False

    def _refusal(self) -> str:
        """
        The operator's messages since the last start; earlier processes may still be logging.
        """
        with self._log.open("rb") as log:
            log.seek(self._log_size_before)
            lines = log.read().decode(errors="replace").splitlines()
        return " ".join(line for line in lines if line.startswith("sft: ")) or "it printed no message"

    def processes(self) -> set[int]:
        """
        All processes of the data folder, whatever their parent.
        """
        return set(processes_matching(f"--data {self.data} "))

    def kill(self, way: str, random_source: random.Random) -> set[int]:
        """
        Kill one worker, the main process alone, or the process tree; return the processes that must end soon.
        """
        before = self.processes()
        if way == "worker":
            victim = random_source.choice(sorted(workers(self.service)) or sorted(before))
            os.kill(victim, signal.SIGKILL)
            return {victim}
        if way == "master":
            self.service.process.kill()
            self.service.process.wait()
        else:
            kill_tree(self.service.process.pid)
            self.service.process.wait()
        return before

    def kill_while_starting(self, seconds: float) -> None:
        """
        Begin a start, and kill its process tree so many seconds later.
        """
        command = [sys.executable, *self.program, "serve", "--data", str(self.data), "--port", str(self.port)]
        command += ["--workers", str(self.workers)]
        with self._log.open("ab") as log:
            starting = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())
        time.sleep(seconds)
        kill_tree(starting.pid)
        starting.wait()

    def wait_until_ended(self, processes: set[int]) -> None:
        """
        Wait until none of them runs; a worker without its main process has to end by itself.
        """
        end = time.monotonic() + self.patience_seconds
        while remaining := processes & self.processes():
            if time.monotonic() > end:
                raise Violation(f"processes {sorted(remaining)} outlive the service that they were part of")
            time.sleep(0.01)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """
        Stop the service inside the block.
        """
        kill_tree(self.service.process.pid)
        self.service.process.wait()
        yield
        self.start()

    def stop(self) -> None:
        """
        End all of its processes.
        """
        self._running.close()
        for process in self.processes():
            kill_tree(process)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}

    def command_output_later(self, *command: str) -> tuple[int, Any]:
        """
        The exit status and the JSON output of an `sft` command, run when everything unfinished has expired.
        """
        line = [sys.executable, later.__file__, str(LATER_HOURS), *command, "--data", str(self.data), "--json"]
        done = subprocess.run(line, env=self._environment(), capture_output=True, check=False, timeout=300)
        if not done.stdout.startswith(b"{"):
            raise Violation(f"{command[0]} printed no JSON: {done.stderr.decode()[-500:]}")
        return done.returncode, json.loads(done.stdout)
