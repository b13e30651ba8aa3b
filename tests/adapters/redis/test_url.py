"""
The Redis URL: what it may contain, and that errors never show it.
"""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.redis.client import open_client
from sft_adapters.redis.url import parse_url
from sft_core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", {"host": "cache", "port": 6379, "db": 0, "username": None, "password": None}),
        ("redis://cache:7000/3", {"host": "cache", "port": 7000, "db": 3}),
        ("redis://[::1]:7000/", {"host": "::1", "port": 7000, "db": 0}),
        ("redis://:p%40s%2Fs@cache", {"username": None, "password": "p@s/s"}),
        ("redis://sft:secret@cache", {"username": "sft", "password": "secret"}),
        ("rediss://cache", {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock", "db": 0}),
        ("unix://:secret@/run/redis.sock", {"path": "/run/redis.sock", "password": "secret"}),
    ],
)
def test_url_is_parsed(url: str, expected: dict[str, object]) -> None:
    """Each part is parsed, and percent-encoding is decoded."""
    options = parse_url(url).options
    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://:hunter2@cache",
        "redis://",
        "redis:///1",
        "redis://:hunter2@",
        "redis://:hunter2@cache:port",
        "redis://:hunter2@cache:99999",
        "redis://:hunter2@cache:0",
        "redis://:hun/ter2@cache",
        "redis://:6/hunter2@cache",
        "redis://:hun#ter2@cache",
        "redis://:hun?ter2@cache",
        "redis://hunter2@cache",
        "redis://:hunter2@[::1",
        "redis://:hunter2@cache/one",
        "redis://:hunter2@cache/1/2",
        "redis://:hunter2@cache/-1",
        "redis://:hunter2@cache/١",
        "redis://:hunter2@cache/?db=1",
        "redis://:hunter2@cache?socket_timeout=60",
        "redis://:hunter2@ca che",
        "redis://:hunter2@cache\n",
        "rediss://:hunter2@cache?ssl_cert_reqs=none",
        "rediss://:hunter2@cache?ssl_ca_certs=/nowhere/ca.pem",
        "unix://:hunter2@cache/run/redis.sock",
        "unix://",
        "unix:///run/redis.sock?db=1&password=hunter2",
    ],
)
def test_malformed_url_is_refused_without_being_shown(url: str) -> None:
    """The error names the setting; neither it nor its traceback contains any part of the password."""
    with pytest.raises(ConfigurationError, match="REDIS_URL") as refused:
        open_client(url)
    shown = str(refused.value) + "".join(traceback.format_exception_only(refused.value))
    assert not any(part in shown for part in ("hunter2", "hun", "ter2"))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.text(max_size=30) | st.text(max_size=30).map(lambda rest: f"redis://{rest}"))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Any text is either parsed or refused with a ConfigurationError."""
    try:
        outcome = parse_url(text).options["host"]
    except ConfigurationError as refused:
        outcome = refused.detail.partition("REDIS_URL ")[2]
    assert outcome


def test_url_and_setting_name_one_database() -> None:
    """Either may name the database, or both if they agree."""
    assert parse_url("redis://cache/2").options["db"] == 2
    assert parse_url("redis://cache", database=2).options["db"] == 2
    assert parse_url("redis://cache/2", database=2).options["db"] == 2
    assert parse_url("unix:///run/redis.sock", database=2).options["db"] == 2
    with pytest.raises(ConfigurationError, match="must name the same database"):
        parse_url("redis://cache/2", database=3)


def test_tls_files_are_named_in_the_query(tmp_path: Path) -> None:
    """A private certificate authority is an existing file."""
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    options = parse_url(f"rediss://cache?ssl_ca_certs={authority}").options
    assert options["ssl_ca_certs"] == str(authority)
    assert options["ssl_cert_reqs"] == "required"


def test_password_is_not_in_any_repr() -> None:
    """Neither the URL's nor the client's `repr` contains the password."""
    url = "redis://sft:hunter2@cache"
    assert "hunter2" not in repr(parse_url(url)) + repr(open_client(url))
