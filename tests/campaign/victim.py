"""
The service that is killed: started on one data folder and port again and again, as a supervisor would.
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
"""When to call it a fault that something has not come about."""

RETRY_SECONDS: Final = 0.05
"""How soon a service that could not start is started again."""

LATER_HOURS: Final = 26
"""After that everything is old that is unfinished: an idle upload, a part of no row, a temporary file."""


class Violation(Exception):
    """
    The service has not kept what it promises.
    """


@attrs.define
class ServiceUnderTest:
    """
    A service that ends by force and comes back on the same port and data.
    """

    root: Path
    settings: Mapping[str, str]
    workers: int = 1
    program: Sequence[str] = SFT
    patience_seconds: float = TIMEOUT_SECONDS
    port: int = attrs.field(factory=reusable_port)
    refused_starts: int = 0
    _said_before: int = attrs.field(default=0, init=False)
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
        Start it, once more and again as long as one that was there before holds what it needs.
        """
        end = time.monotonic() + self.patience_seconds
        while not self._has_started():
            if time.monotonic() > end:
                raise Violation(f"the service did not start: {self._refusal()}")
            self.refused_starts += 1
            time.sleep(RETRY_SECONDS)

    def _has_started(self) -> bool:
        self._running.close()
        self._said_before = self._log.stat().st_size if self._log.exists() else 0
        started = serving(self.root, workers=self.workers, settings=self.settings, port=self.port, program=self.program)
        try:
            self._service = self._running.enter_context(started)
            # Its port may be answered by a predecessor; workers are its own.
            while not workers(self.service):
                if self.service.process.poll() is not None:
                    return self._was_refused()
                time.sleep(0.01)
        except (RuntimeError, FileNotFoundError):
            return self._was_refused()
        return True

    def _was_refused(self) -> bool:
        """
        That it has not started, if that may be; else a `Violation`.
        """
        words = self._refusal()
        if "cannot listen on" not in words and "is locked: another process" not in words:
            raise Violation(f"the service does not start: {words}")
        return False

    def _refusal(self) -> str:
        """
        What it told the operator since it was started last; those that were there before may go on logging.
        """
        with self._log.open("rb") as log:
            log.seek(self._said_before)
            lines = log.read().decode(errors="replace").splitlines()
        return " ".join(line for line in lines if line.startswith("sft: ")) or "it said nothing"

    def processes(self) -> set[int]:
        """
        All processes that have to do with the data folder, whoever their parent is.
        """
        return set(processes_matching(f"--data {self.data} "))

    def kill(self, way: str, random_source: random.Random) -> set[int]:
        """
        End one worker, the main process alone, or all of it; the processes that are to be gone soon are told.
        """
        before = self.processes()
        if way == "worker":
            chosen = random_source.choice(sorted(workers(self.service)) or sorted(before))
            os.kill(chosen, signal.SIGKILL)
            return {chosen}
        if way == "master":
            self.service.process.kill()
            self.service.process.wait()
        else:
            kill_tree(self.service.process.pid)
            self.service.process.wait()
        return before

    def kill_while_starting(self, seconds: float) -> None:
        """
        Begin a start, and end all of it so many seconds later.
        """
        command = [sys.executable, *self.program, "serve", "--data", str(self.data), "--port", str(self.port)]
        command += ["--workers", str(self.workers)]
        with self._log.open("ab") as log:
            begun = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())
        time.sleep(seconds)
        kill_tree(begun.pid)
        begun.wait()

    def wait_until_gone(self, processes: set[int]) -> None:
        """
        Wait until none of them runs; a process without its service has nobody to end it.
        """
        end = time.monotonic() + self.patience_seconds
        while left := processes & self.processes():
            if time.monotonic() > end:
                raise Violation(f"processes {sorted(left)} outlive the service that they were part of")
            time.sleep(0.01)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """
        Nothing of it runs inside the block.
        """
        kill_tree(self.service.process.pid)
        self.service.process.wait()
        yield
        self.start()

    def stop(self) -> None:
        """
        End whatever runs.
        """
        self._running.close()
        for process in self.processes():
            kill_tree(process)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}

    def command_output_later(self, *command: str) -> tuple[int, Any]:
        """
        The exit status of a command of `sft` and what it told as JSON, when everything unfinished is old.
        """
        line = [sys.executable, later.__file__, str(LATER_HOURS), *command, "--data", str(self.data), "--json"]
        done = subprocess.run(line, env=self._environment(), capture_output=True, check=False, timeout=300)
        if not done.stdout.startswith(b"{"):
            raise Violation(f"{command[0]} told nothing: {done.stderr.decode()[-500:]}")
        return done.returncode, json.loads(done.stdout)
