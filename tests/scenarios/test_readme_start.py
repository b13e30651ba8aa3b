"""
The README's start command and the addresses and paths that the README names.
"""

from __future__ import annotations

import re
import signal
import stat
from pathlib import Path

from sft_http.ops.serve import command
from support.clients.owner import curl_at
from support.servers.service import README, readme_command, serving_as_the_readme_says


def test_readme_command_starts_the_embedded_default(tmp_path: Path) -> None:
    """It creates folder and keys, prints the paths in use, serves, and exits with status 0 on SIGTERM."""
    with serving_as_the_readme_says(tmp_path) as service:
        assert curl_at(service, tmp_path)("/health").json() == {"status": "healthy"}
        arguments = Path(f"/proc/{service.process.pid}/cmdline").read_bytes().decode().split("\0")
        assert readme_command() in " ".join(arguments)
        keys = sorted((service.data / "keys").iterdir())
        assert [key.name for key in keys] == ["encryption.key", "secret.key"]
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
        assert (service.data / "sft.db").is_file()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    greeting = service.log.read_text()
    for line in (f"listening {service.url}\n", f"{service.url}/docs\n", "sft-data/sft.db", "sft-data/blobs"):
        assert line in greeting
    assert re.search(r"keys +in sft-data/keys +<- keep a copy", greeting)


def test_readme_names_the_default_address_and_key_folder() -> None:
    """Both equal the defaults of the command."""
    defaults = {option.name: option.default for option in command.params}
    address = f"http://{defaults['host']}:{defaults['port']}"
    page = README.read_text()
    assert f"<{address}>" in page
    assert f"<{address}/docs>" in page
    assert f"`{defaults['data']}/keys`" in page
