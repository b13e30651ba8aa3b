"""
The compose file, as far as it can be tested without a container engine.
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


def test_four_services_are_defined() -> None:
    """The compose file has the API and the three servers that it needs."""
    assert set(SERVICES) == {"api", "postgres", "valkey", "s3"}
    assert set(SERVICES["api"]["depends_on"]) == {"postgres", "valkey", "s3"}
    assert all(wait == {"condition": "service_healthy"} for wait in SERVICES["api"]["depends_on"].values())


@pytest.mark.parametrize("name", ["postgres", "valkey", "s3"])
def test_images_are_pinned_to_a_version(name: str) -> None:
    """Each image tag names a full version."""
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$", SERVICES[name]["image"])


def test_api_image_is_pinned_and_hashed() -> None:
    """The Dockerfile pins its base images, installs only hashed packages, and runs as an unprivileged user."""
    text = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text()
    assert all(re.search(r"python:\d+\.\d+\.\d+-slim", line) for line in text.splitlines() if line.startswith("FROM"))
    assert "--require-hashes -r constraints-all.txt" in text
    assert "USER sft" in text
    assert "HEALTHCHECK" in text


def is_in_build_context(path: str) -> bool:
    """
    Whether `.dockerignore` includes a path: the last line that matches it or one of its parents decides.
    """
    names = path.split("/")
    above = ["/".join(names[: count + 1]) for count in range(len(names))]
    included = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule = line.lstrip("!")
        if not rule or rule.startswith("#"):
            continue
        anywhere = rule.removeprefix("**/")
        if any(fnmatch(part if anywhere == rule else part.rpartition("/")[2], anywhere) for part in above):
            included = line.startswith("!")
    return included


def test_build_context_contains_only_the_sources() -> None:
    """The Dockerfile's sources are included; settings, data, keys, history, environments and caches are not."""
    text = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text()
    copied = " ".join(re.findall(r"^COPY (?!--)(.+) \./?\S*$", text, flags=re.MULTILINE)).split()
    assert {"src", "pyproject.toml"} <= set(copied)
    assert [name for name in copied if not is_in_build_context(name)] == []
    assert is_in_build_context("src/sft_core/errors/base.py")
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    excluded = [*ignored, ".git", "tests", ".env.production", "sft-data/keys/encryption.key", ".venv/bin/python"]
    excluded += ["src/sft_core/__pycache__", "src/.env", "src/sft-data/keys/secret.key", "src/x.egg-info/PKG-INFO"]
    assert [path for path in excluded if is_in_build_context(path)] == []


def test_every_server_has_a_health_check() -> None:
    """Each server has a health check; the API's is in its image."""
    assert all("healthcheck" in SERVICES[name] for name in ("postgres", "valkey", "s3"))


def test_secret_has_no_default() -> None:
    """Secrets must be set, or no service starts; only the list of retiring keys may be empty."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name == "ENCRYPTION_KEYS_RETIRING":
                assert value == f"${{{name}:-}}"
            elif SECRETS.search(name) or "://" in str(value):
                found = re.findall(r"\$\{([A-Z_]+)(:[-?])", str(value))
                assert found or "--auth-host" in value, name
                assert all(rule == ":?" for _, rule in found), name


def test_api_environment_contains_only_settings() -> None:
    """Each environment variable is a setting of the service."""
    assert set(SERVICES["api"]["environment"]) <= {setting.name for setting in SETTINGS}


def test_only_the_api_is_published() -> None:
    """The API listens on loopback; the servers are on an internal network and publish no port."""
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey", "s3"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
    assert [port.partition(":-")[2][:9] for port in SERVICES["api"]["ports"]] == ["127.0.0.1"]


def test_persistent_data_is_on_a_volume() -> None:
    """Rows and blobs outlive their containers."""
    for name in ("postgres", "s3"):
        (volume,) = SERVICES[name]["volumes"]
        assert volume.partition(":")[0] in COMPOSE["volumes"]
