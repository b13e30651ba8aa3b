"""
JavaScript packages, installed by the npm of the test environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
NODE = PROGRAMS / "node"


def installed(package: Path, cache: Path) -> Path:
    """
    Copy a package's folder and install its lock file's packages, once for all processes and runs.
    """
    sources = sorted(path for path in package.iterdir() if path.suffix in {".js", ".json"})
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = cache / version
    folder.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for source in sources:
                shutil.copy(source, folder)
            command = [str(PROGRAMS / "npm"), "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
            environment = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"}
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=300)
            assert done.returncode == 0, done.stderr.decode()
            (folder / "installed").touch()
    return folder
