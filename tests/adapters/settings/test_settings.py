"""
Settings: parsing, refusals, and documentation generated from the same catalogue.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from pathlib import Path

import attrs
import pytest

from sft_adapters.crypto import passwords
from sft_adapters.keyring.loading import load_keys
from sft_adapters.settings import Settings
from sft_adapters.settings.catalogue import GROUPS, SETTINGS
from sft_adapters.settings.field import Setting
from sft_adapters.settings.model import environment
from sft_adapters.settings.reference import as_env_example, as_markdown
from sft_core.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
KEYS = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}


def read(**environ: str) -> Settings:
    return Settings.from_env(KEYS | environ, data_dir=Path("/nonexistent"))


def fault(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(**environ)
    return str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    """With only the keys set, every setting has its default from the contract."""
    settings = read()
    assert (settings.app.api_prefix, settings.security.algorithm) == ("/api/v1", "HS256")
    assert (settings.security.access_token_minutes, settings.security.refresh_token_days) == (30, 7)
    assert settings.s3.bucket == "secure-files"
    assert settings.uploads.allowed_extensions == frozenset()
    assert settings.database.url is settings.redis.url is settings.s3.endpoint is None


def test_groups_and_settings_agree() -> None:
    """Each group is a field of the settings, and each name, former ones included, belongs to one setting."""
    assert {"data_dir", *GROUPS} == {attribute.name for attribute in attrs.fields(Settings)}
    names = [name for setting in SETTINGS for name in (setting.name, setting.former_name) if name]
    assert len(names) == len(set(names)) == len(SETTINGS) + 6


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_default_is_parsed_from_its_text(setting: Setting) -> None:
    """Each default on the reference page can be set in the environment."""
    if setting.default not in (None, (), frozenset()):
        assert setting.read(str(setting.default)) == setting.default


def test_password_hash_bounds_are_those_of_the_hasher() -> None:
    """The settings import no adapter, so this compares their bounds with those of the hasher."""
    largest = read(ARGON2_MEMORY_KIB="262144", ARGON2_ITERATIONS="16", ARGON2_LANES="16").hashing
    found = (largest.memory_kib, largest.iterations, largest.lanes)
    assert found == (passwords.MAX_MEMORY_KIB, passwords.MAX_ITERATIONS, passwords.MAX_LANES)
    for name, text in (("ARGON2_MEMORY_KIB", "262145"), ("ARGON2_ITERATIONS", "17"), ("ARGON2_LANES", "17")):
        assert name in fault(**{name: text})


FORMER = [(setting.name, setting.former_name) for setting in SETTINGS if setting.former_name]


@pytest.mark.parametrize(("name", "former"), FORMER)
def test_former_name_works_and_warns(name: str, former: str, caplog: pytest.LogCaptureFixture) -> None:
    """A former name works for one release and logs a warning with both names; the present name logs nothing."""
    with caplog.at_level(logging.WARNING, "sft"):
        renamed, empty = read(**{name: "17"}), read(**{name: "17", former: " "})
        assert caplog.records == []
        given = read(**{former: "17"})
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("sft.settings", "WARNING")
    assert record.getMessage() == f"{former} is now called {name}: the next release ignores the former name"
    assert given == renamed == empty != read()
    assert fault(**{former: "nonsense"}).startswith(f"{former} must be")


@pytest.mark.parametrize(("name", "former"), FORMER)
def test_different_values_under_both_names_are_refused(name: str, former: str) -> None:
    """Equal values under both names are accepted."""
    expected = f"{name} and {former}, its former name, have different values: remove {former}"
    assert fault(**{name: "17", former: "18"}) == expected
    assert read(**{name: "17", former: "17"}) == read(**{name: "17"})


def test_invalid_setting_is_not_combined_with_others() -> None:
    """Rules that depend on an invalid value are not reported as well."""
    s3 = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "s9dK2jfa8"}
    assert "; " not in fault(MINIO_ENDPOINT="a\0b", **s3)
    assert "; " not in fault(MINIO_ENDPOINT="s3.example.org", MINIO_ACCESS_KEY="somebody", MINIO_SECRET_KEY="short")
    assert "; " not in fault(SESSION_STORE="redis", REDIS_URL="redis://cache:0")
    assert "; " not in fault(TRANSFER_MEMORY_MIB="none", MAX_UPLOADS="100000")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "your-secret-key-here-change-in-production"),
        ("SECRET_KEY", "change-me-change-me-change-me-change-me"),
        ("SECRET_KEY", "a" * 64),
        ("ENCRYPTION_KEY", "not base64 at all"),
        ("ENCRYPTION_KEY", base64.b64encode(bytes(32)).decode()),
        ("ENCRYPTION_KEY", base64.b64encode(bytes(range(32))).decode()),
        ("ENCRYPTION_KEY", base64.b64encode(hashlib.sha256(b"31").digest()[:31]).decode()),
        ("ENCRYPTION_KEY", base64.b64encode(b"change-this-to-your-own-32-bytes").decode()),
        ("ALGORITHM", "none"),
        ("ALGORITHM", "RS256"),
        ("DEBUG", "maybe"),
        ("API_V1_PREFIX", "api"),
        ("API_V1_PREFIX", "/api/"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "-5"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "1e3"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "٣"),
        ("MAX_FILE_SIZE", "9" * 30),
        ("MAX_FILE_SIZE", "100MB"),
        ("HASH_WAIT_SECONDS", "nan"),
        ("HASH_WAIT_SECONDS", "inf"),
        ("ALLOWED_EXTENSIONS", "pdf,../etc"),
        ("ALLOWED_EXTENSIONS", '["pdf"'),
        ("ALLOWED_EXTENSIONS", "[1]"),
        ("ALLOWED_ORIGINS", "files.example.org"),
        ("ALLOWED_ORIGINS", "https://files.example.org/path"),
        ("ALLOWED_ORIGINS", "https://user@files.example.org"),
        ("PART_SIZE", "1"),
        ("PART_SIZE", str(9 << 20)),
        ("ARGON2_MEMORY_KIB", "1"),
    ],
)
def test_invalid_value_is_refused_by_name_and_not_repeated(name: str, value: str) -> None:
    """The error names the setting and never contains a secret's value."""
    message = fault(**{name: value})
    assert message.startswith(f"{name} ")
    assert not name.endswith("_KEY") or value not in message


def test_all_faults_are_reported_at_once() -> None:
    """Three invalid settings give one error with three sentences."""
    message = fault(DEBUG="maybe", ALGORITHM="none", SECRET_KEY="short")
    assert [part.partition(" ")[0] for part in message.split("; ")] == ["DEBUG", "SECRET_KEY", "ALGORITHM"]


def test_missing_keys_are_named() -> None:
    """Without keys in the environment or in files the start is refused."""
    with pytest.raises(ConfigurationError, match=r"^SECRET_KEY is not set, [^;]*; ENCRYPTION_KEY is not set, [^;]*$"):
        load_keys(Settings.from_env({}, data_dir=Path("/nonexistent")))


def test_same_key_for_two_purposes_is_refused() -> None:
    """The signing key must differ from the encryption key."""
    assert "are the same" in fault(SECRET_KEY=KEYS["ENCRYPTION_KEY"])


@pytest.mark.parametrize(("algorithm", "size"), [("HS384", 47), ("HS512", 63)])
def test_longer_digest_requires_a_longer_secret(algorithm: str, size: int) -> None:
    """The signing secret is at least as long as the digest (RFC 7518, section 3.2)."""
    secret = "z" + os.urandom(size).hex()[1:size]
    assert "SECRET_KEY must have at least" in fault(ALGORITHM=algorithm, SECRET_KEY=secret)
    assert read(ALGORITHM=algorithm, SECRET_KEY=secret + "x").security.algorithm == algorithm


@pytest.mark.parametrize("text", [".pdf,.DOC, txt", '[".pdf", "doc", ".txt"]', "pdf,doc,txt,"])
def test_extensions_are_parsed_in_every_usual_spelling(text: str) -> None:
    """With or without dots, as JSON or comma-separated, in any case."""
    assert read(ALLOWED_EXTENSIONS=text).uploads.allowed_extensions == {".pdf", ".doc", ".txt"}


def test_origins_are_a_list_or_a_star() -> None:
    """An origin is scheme, host and port; a star allows every origin."""
    assert read(ALLOWED_ORIGINS="https://a.example,http://localhost:3000").app.allowed_origins == (
        "https://a.example",
        "http://localhost:3000",
    )
    assert read(ALLOWED_ORIGINS="*").app.allowed_origins == ("*",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MINIO_ACCESS_KEY", "somebody"),
        ("MINIO_SECRET_KEY", "s9dK2jfa8"),
        ("MINIO_CA_FILE", "/etc/ssl/ca.pem"),
        ("MINIO_CONDITIONAL_WRITES", "true"),
    ],
)
def test_s3_setting_requires_an_endpoint(name: str, value: str) -> None:
    """A forgotten or misspelt endpoint is refused, instead of storing files on the local disk."""
    assert fault(**{name: value}) == f"{name} is set, but MINIO_ENDPOINT is not"
    assert read(MINIO_CONDITIONAL_WRITES="false", MINIO_BUCKET_NAME="files").blob_store_kind == "disk"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://sft@db.example.org:0/sft"),
        ("DATABASE_URL", "postgresql://sft@[::1]:00/sft"),
        ("DATABASE_URL", "postgresql://sft@/sft?host=db.example.org&port=0"),
        ("DATABASE_URL", "postgresql://sft@/sft?host=one:5432&host=two:0"),
        ("DATABASE_URL", "postgresql://sft@/sft?host=one,two&port=5432,0"),
        ("REDIS_URL", "redis://cache.example.org:0"),
        ("REDIS_URL", "rediss://:gOod-41-letters@cache.example.org:0/1"),
    ],
)
def test_url_with_port_zero_is_refused(name: str, url: str) -> None:
    """No server listens on port 0, and it is not replaced by the usual port."""
    assert fault(**{name: url}) == f"{name} names port 0, on which no server can listen"


def test_secrets_are_masked() -> None:
    """The settings' `repr` contains neither key nor other secrets."""
    settings = read(
        DATABASE_URL="sqlite:///secret-place",
        MINIO_ENDPOINT="s3.example.org",
        MINIO_ACCESS_KEY="somebody",
        MINIO_SECRET_KEY="minio-secret-value",
    )
    for secret in (*KEYS.values(), "secret-place", "minio-secret-value"):
        assert secret not in repr(settings)


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    """The environment overrides a `.env` file, whose quotes and comments are parsed as usual."""
    file = tmp_path / "settings.env"
    file.write_text('APP_NAME="From the file"  # a comment\nTWO_FACTOR_ISSUER=Files\n')
    merged = environment({"APP_NAME": "From the environment"}, file)
    assert merged["APP_NAME"] == "From the environment"
    assert merged["TWO_FACTOR_ISSUER"] == "Files"
    with pytest.raises(ConfigurationError, match="is not there"):
        environment({}, tmp_path / "absent.env")
    file.write_bytes(b"APP_NAME=\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        environment({}, file)


def test_reference_page_and_example_are_generated() -> None:
    """The reference page and the example equal what the catalogue generates."""
    assert (ROOT / "docs/reference/settings.md").read_text() == as_markdown()
    assert (ROOT / ".env.example").read_text() == as_env_example()


def test_example_file_is_inactive_and_valid(tmp_path: Path) -> None:
    """Every line of the example is a comment, and a start with all of them enabled succeeds."""
    assert environment({}, ROOT / ".env.example") == {}
    on = tmp_path / ".env"
    on.write_text("\n".join(line.removeprefix("#") for line in as_env_example().splitlines() if line.startswith("#")))
    values = {name: value for name, value in environment({}, on).items() if name.isupper() and value}
    settings = Settings.from_env(KEYS | values, data_dir=tmp_path)
    assert settings.uploads.allowed_extensions == {
        f".{extension}" for extension in ["pdf", "doc", "docx", "xls", "xlsx", "txt", "jpg", "png", "zip"]
    }


def test_memory_must_suffice_for_all_uploads() -> None:
    """Too little memory for the configured uploads is refused, and just enough is accepted."""
    assert fault(TRANSFER_MEMORY_MIB="63") == "TRANSFER_MEMORY_MIB is less than 128 KiB for each of MAX_UPLOADS"
    assert read(TRANSFER_MEMORY_MIB="64").uploads.max_concurrent == 512
    assert read(TRANSFER_MEMORY_MIB="1", MAX_UPLOADS="8").uploads.max_concurrent == 8
