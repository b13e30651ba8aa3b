"""
Settings: what is read, what is refused, and that the documentation is made from the same table.
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


def test_the_defaults_are_the_contracts() -> None:
    """Without an environment but for keys, every setting has the contract's default."""
    settings = read()
    assert (settings.app.api_prefix, settings.security.algorithm) == ("/api/v1", "HS256")
    assert (settings.security.access_token_minutes, settings.security.refresh_token_days) == (30, 7)
    assert settings.s3.bucket == "secure-files"
    assert settings.uploads.allowed_extensions == frozenset()
    assert settings.database.url is settings.redis.url is settings.s3.endpoint is None


def test_the_groups_and_the_settings_agree() -> None:
    """Each group is a field of the settings, and each name, former ones included, belongs to one setting."""
    assert {"data_dir", *GROUPS} == {attribute.name for attribute in attrs.fields(Settings)}
    names = [name for setting in SETTINGS for name in (setting.name, setting.former_name) if name]
    assert len(names) == len(set(names)) == len(SETTINGS) + 6


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_what_its_text_is_parsed_as(setting: Setting) -> None:
    """What the reference page shows can be written into the environment."""
    if setting.default not in (None, (), frozenset()):
        assert setting.read(str(setting.default)) == setting.default


def test_the_bounds_of_password_hashes_are_those_of_the_hasher() -> None:
    """Settings import no adapter; the hasher checks its bounds again."""
    largest = read(ARGON2_MEMORY_KIB="262144", ARGON2_ITERATIONS="16", ARGON2_LANES="16").hashing
    found = (largest.memory_kib, largest.iterations, largest.lanes)
    assert found == (passwords.MAX_MEMORY_KIB, passwords.MAX_ITERATIONS, passwords.MAX_LANES)
    for name, text in (("ARGON2_MEMORY_KIB", "262145"), ("ARGON2_ITERATIONS", "17"), ("ARGON2_LANES", "17")):
        assert name in fault(**{name: text})


FORMER = [(setting.name, setting.former_name) for setting in SETTINGS if setting.former_name]


@pytest.mark.parametrize(("name", "former"), FORMER)
def test_a_former_name_works_and_warns(name: str, former: str, caplog: pytest.LogCaptureFixture) -> None:
    """For one release; the log names both, and the present name alone is silent."""
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
def test_two_names_with_two_values_are_refused(name: str, former: str) -> None:
    """The same value under both is not a contradiction."""
    said = f"{name} and {former}, its former name, have different values: remove {former}"
    assert fault(**{name: "17", former: "18"}) == said
    assert read(**{name: "17", former: "17"}) == read(**{name: "17"})


def test_a_faulty_setting_is_not_judged_together_with_others() -> None:
    """What depends on a value that could not be read is not reported as well."""
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
def test_bad_values_are_refused_by_name_and_never_repeated(name: str, value: str) -> None:
    """The error names the setting and keeps a secret's value to itself."""
    message = fault(**{name: value})
    assert message.startswith(f"{name} ")
    assert not name.endswith("_KEY") or value not in message


def test_all_faults_are_told_at_once() -> None:
    """Three wrong settings are three sentences in one error."""
    message = fault(DEBUG="maybe", ALGORITHM="none", SECRET_KEY="short")
    assert [part.partition(" ")[0] for part in message.split("; ")] == ["DEBUG", "SECRET_KEY", "ALGORITHM"]


def test_missing_keys_are_named() -> None:
    """Without keys nothing starts: neither the environment nor a file has them."""
    with pytest.raises(ConfigurationError, match=r"^SECRET_KEY is not set, [^;]*; ENCRYPTION_KEY is not set, [^;]*$"):
        load_keys(Settings.from_env({}, data_dir=Path("/nonexistent")))


def test_one_key_for_two_purposes_is_refused() -> None:
    """The encryption key's own spelling is no signing key."""
    assert "are the same" in fault(SECRET_KEY=KEYS["ENCRYPTION_KEY"])


@pytest.mark.parametrize(("algorithm", "size"), [("HS384", 47), ("HS512", 63)])
def test_a_longer_digest_asks_for_a_longer_secret(algorithm: str, size: int) -> None:
    """The signing secret is at least as long as the digest (RFC 7518, section 3.2)."""
    secret = "z" + os.urandom(size).hex()[1:size]
    assert "SECRET_KEY must have at least" in fault(ALGORITHM=algorithm, SECRET_KEY=secret)
    assert read(ALGORITHM=algorithm, SECRET_KEY=secret + "x").security.algorithm == algorithm


@pytest.mark.parametrize("text", [".pdf,.DOC, txt", '[".pdf", "doc", ".txt"]', "pdf,doc,txt,"])
def test_extensions_are_read_in_every_usual_spelling(text: str) -> None:
    """With or without dots, as JSON or with commas, in any case."""
    assert read(ALLOWED_EXTENSIONS=text).uploads.allowed_extensions == {".pdf", ".doc", ".txt"}


def test_origins_are_a_list_or_everyone() -> None:
    """Origins are scheme, host and port; a star means every origin."""
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
def test_what_an_s3_server_is_used_with_needs_one(name: str, value: str) -> None:
    """Whoever forgot the endpoint, or misspelt its name, does not find the files on the local disk one day."""
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
def test_a_url_of_port_zero_is_refused(name: str, url: str) -> None:
    """Nobody listens there, and the usual port in its place is not what was written."""
    assert fault(**{name: url}) == f"{name} names port 0, on which no server can listen"


def test_secrets_are_masked() -> None:
    """Neither key shows in the settings' representation."""
    settings = read(
        DATABASE_URL="sqlite:///secret-place",
        MINIO_ENDPOINT="s3.example.org",
        MINIO_ACCESS_KEY="somebody",
        MINIO_SECRET_KEY="minio-secret-value",
    )
    for secret in (*KEYS.values(), "secret-place", "minio-secret-value"):
        assert secret not in repr(settings)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A `.env` file stands below the environment, quotes and comments read as usual."""
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


def test_the_page_and_the_example_are_generated() -> None:
    """Whoever changes the table changes the documentation with it."""
    assert (ROOT / "docs/reference/settings.md").read_text() == as_markdown()
    assert (ROOT / ".env.example").read_text() == as_env_example()


def test_the_example_changes_nothing_until_something_is_switched_on(tmp_path: Path) -> None:
    """Every line of the example is a comment, and with all of them on it still starts."""
    assert environment({}, ROOT / ".env.example") == {}
    on = tmp_path / ".env"
    on.write_text("\n".join(line.removeprefix("#") for line in as_env_example().splitlines() if line.startswith("#")))
    values = {name: value for name, value in environment({}, on).items() if name.isupper() and value}
    settings = Settings.from_env(KEYS | values, data_dir=tmp_path)
    assert settings.uploads.allowed_extensions == {
        f".{extension}" for extension in ["pdf", "doc", "docx", "xls", "xlsx", "txt", "jpg", "png", "zip"]
    }


def test_each_upload_has_the_memory_that_is_set_aside_for_it() -> None:
    """Else the limit on memory would be none: what is too little is told, and what is just enough is taken."""
    assert fault(TRANSFER_MEMORY_MIB="63") == "TRANSFER_MEMORY_MIB is less than 128 KiB for each of MAX_UPLOADS"
    assert read(TRANSFER_MEMORY_MIB="64").uploads.max_concurrent == 512
    assert read(TRANSFER_MEMORY_MIB="1", MAX_UPLOADS="8").uploads.max_concurrent == 8
