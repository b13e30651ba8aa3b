"""
The deployment file, as far as it can be judged without a container engine.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_adapters.settings.catalogue import SETTINGS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = re.compile(r"PASSWORD|SECRET|ENCRYPTION_KEY|ACCESS_KEY|AUTH")


def test_the_four_services_are_there() -> None:
    """The API and the three servers it stands on."""
    assert set(SERVICES) == {"api", "postgres", "valkey", "s3"}
    assert set(SERVICES["api"]["depends_on"]) == {"postgres", "valkey", "s3"}
    assert all(wait == {"condition": "service_healthy"} for wait in SERVICES["api"]["depends_on"].values())


@pytest.mark.parametrize("name", ["postgres", "valkey", "s3"])
def test_images_are_pinned_to_a_version(name: str) -> None:
    """A tag names a version to its last number; nothing floats."""
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$", SERVICES[name]["image"])


def test_the_image_of_the_api_is_pinned_and_hashed() -> None:
    """The Dockerfile names exact versions and installs what the hashes allow, as a user without rights."""
    text = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text()
    assert all(re.search(r"python:\d+\.\d+\.\d+-slim", line) for line in text.splitlines() if line.startswith("FROM"))
    assert "--require-hashes -r constraints-all.txt" in text
    assert "USER sft" in text
    assert "HEALTHCHECK" in text


def sent_to_the_builder(path: str) -> bool:
    """
    Whether a path passes `.dockerignore`: the last line that matches it, or a folder above it, decides.
    """
    names = path.split("/")
    above = ["/".join(names[: count + 1]) for count in range(len(names))]
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule = line.lstrip("!")
        if not rule or rule.startswith("#"):
            continue
        anywhere = rule.removeprefix("**/")
        if any(fnmatch(part if anywhere == rule else part.rpartition("/")[2], anywhere) for part in above):
            sent = line.startswith("!")
    return sent


def test_the_builder_is_sent_what_the_image_needs_and_nothing_else() -> None:
    """What the Dockerfile copies is there; settings, data, keys, history, environments and caches stay at home."""
    text = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text()
    copied = " ".join(re.findall(r"^COPY (?!--)(.+) \./?\S*$", text, flags=re.MULTILINE)).split()
    assert {"src", "pyproject.toml"} <= set(copied)
    assert [name for name in copied if not sent_to_the_builder(name)] == []
    assert sent_to_the_builder("src/sft_core/errors.py")
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    at_home = [*ignored, ".git", "tests", ".env.production", "sft-data/keys/encryption.key", ".venv/bin/python"]
    at_home += ["src/sft_core/__pycache__", "src/.env", "src/sft-data/keys/secret.key", "src/x.egg-info/PKG-INFO"]
    assert [path for path in at_home if sent_to_the_builder(path)] == []


def test_every_server_tells_its_health() -> None:
    """Each has a check of its own; the API's stands in its image."""
    assert all("healthcheck" in SERVICES[name] for name in ("postgres", "valkey", "s3"))


def test_no_secret_has_a_default() -> None:
    """What is secret must be given, or nothing starts; only of earlier keys there may be none."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name == "ENCRYPTION_KEYS_RETIRING":
                assert value == f"${{{name}:-}}"
            elif SECRETS.search(name) or "://" in str(value):
                found = re.findall(r"\$\{([A-Z_]+)(:[-?])", str(value))
                assert found or "--auth-host" in value, name
                assert all(rule == ":?" for _, rule in found), name


def test_the_settings_of_the_api_are_settings() -> None:
    """Each name is one that the service reads."""
    assert set(SERVICES["api"]["environment"]) <= {setting.name for setting in SETTINGS}


def test_only_the_api_can_be_reached_from_outside() -> None:
    """It listens on loopback; the servers stand on an internal network and publish nothing."""
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey", "s3"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
    assert [port.partition(":-")[2][:9] for port in SERVICES["api"]["ports"]] == ["127.0.0.1"]


def test_what_must_last_is_on_a_volume() -> None:
    """Rows and blobs outlive their containers."""
    for name in ("postgres", "s3"):
        (volume,) = SERVICES[name]["volumes"]
        assert volume.partition(":")[0] in COMPOSE["volumes"]
