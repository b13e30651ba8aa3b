"""
Weak secrets: invented and published ones are refused, random ones never are.
"""

from __future__ import annotations

import base64
import hashlib
import random
import secrets
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from sft_adapters.bootstrap.configuration import ephemeral_keys
from sft_adapters.settings import Settings, parsers
from sft_adapters.settings.secret_strength import is_guessable_bytes, is_weak_password
from sft_adapters.settings.weak_secrets import PUBLISHED, WORDS
from sft_core.errors import ConfigurationError

DRAWS = 5_000
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(value: bytes) -> str:
    number, text = int.from_bytes(value), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return text


def letters(alphabet: str, count: int) -> Callable[[random.Random], str]:
    return lambda source: "".join(source.choices(alphabet, k=count))


@pytest.mark.parametrize(
    "draw",
    [
        lambda source: source.randbytes(32).hex(),
        lambda source: source.randbytes(48).hex().upper(),
        lambda source: source.randbytes(32).hex(":").upper(),
        lambda source: source.randbytes(64).hex("-"),
        lambda source: source.randbytes(32).hex(" "),
        lambda source: " ".join(letters(string.digits, 5)(source) for _ in range(16)),
        lambda source: base64.b64encode(source.randbytes(32)).decode(),
        lambda source: base64.b64encode(source.randbytes(64)).decode(),
        lambda source: base64.urlsafe_b64encode(source.randbytes(64)).rstrip(b"=").decode(),
        lambda source: base64.urlsafe_b64encode(source.randbytes(24)).decode(),
        lambda source: base64.urlsafe_b64encode(source.randbytes(32)).rstrip(b"=").decode(),
        lambda source: base64.b32encode(source.randbytes(20)).decode(),
        lambda source: base58(source.randbytes(24)).rjust(32, "1"),
        letters(string.ascii_letters + string.digits, 32),
        letters(string.ascii_lowercase, 32),
        letters(string.ascii_lowercase + string.digits, 32),
        letters(string.digits, 128),
        letters(string.digits, 256),
    ],
    ids=[
        *("hex 32", "hex 48", "hex with colons", "hex with hyphens", "hex with spaces", "digits with spaces"),
        *(
            "base64",
            "base64 64",
            "token_urlsafe 64",
            "base64url",
            "token_urlsafe",
            "base32",
            "base58",
            "alphanumeric",
            "lowercase",
            "lowercase and digits",
        ),
        *("128 digits", "256 digits"),
    ],
)
def test_random_secret_key_is_accepted(draw: Callable[[random.Random], str]) -> None:
    """Thousands of keys in each usual encoding are accepted."""
    source = random.Random(41)
    for _ in range(DRAWS):
        parsers.secret_key(draw(source))


@pytest.mark.parametrize(
    "text",
    [
        "Q-example_7xVnB2kLd9fTgHs3zRwYc0pMj6uKaEo",
        "default" + base64.urlsafe_b64encode(random.Random(7).randbytes(27)).decode(),
        base64.urlsafe_b64encode(random.Random(8).randbytes(24)).decode() + "ChangeMe",
    ],
)
def test_random_key_containing_a_word_is_accepted(text: str) -> None:
    """One key of 43 characters in some hundred million contains `example` or `default` by chance."""
    parsers.secret_key(text)


@pytest.mark.parametrize("separator", ["-", "_", " ", "."])
@pytest.mark.parametrize("style", [str.lower, str.upper, str.title])
def test_passphrase_is_no_secret_key(separator: str, style: Callable[[str], str]) -> None:
    """Five words or more are refused, known or not; groups of equal length are accepted as random."""
    words = style("tractor pelican umbrella violet canyon ridge 41").split()
    assert refusal_of(SECRET_KEY=separator.join(words)).startswith("SECRET_KEY is a default or example value")
    groups = letters(style(string.ascii_lowercase), 40)(random.Random(44))
    parsers.secret_key(separator.join(groups[start : start + 5] for start in range(0, 40, 5)))


@pytest.mark.parametrize(
    "text",
    [
        "0b17f52da63bc530111de9ff93959a3b870eba530d3bff909b8eaf1369d20637367683ff857d97bfa3b19c2e6706077aeff0c3bd9fed17581f19247ccd2c7c22",
        "13c9b17d07d9c9ef3153b95feda5a2806ccaa607abf5b658a051f14da64386103d98b907d07ef8c6c5e5033ed7c3a19d25c1bd7eb9c46f00b9286169c2a5d05b",
    ],
)
def test_hexadecimal_digits_are_not_decoded_as_base64(text: str) -> None:
    """Misread as base64, one in twelve thousand keys of 64 bytes would have too few different bytes."""
    parsers.secret_key(text)


@pytest.mark.parametrize("separator", ["", ":", "-", " "])
def test_weak_bytes_in_hexadecimal_are_refused(separator: str) -> None:
    """Text and progressions are found in hexadecimal digits, grouped or not."""
    for value in (b"correct horse battery staple, again", bytes(range(64, 112))):
        with pytest.raises(ValueError, match="default or example"):
            parsers.secret_key(value.hex(separator) if separator else value.hex())


def test_random_encryption_key_is_accepted() -> None:
    """Thirty-two random bytes are neither text nor a pattern."""
    source = random.Random(42)
    for _ in range(DRAWS):
        parsers.encryption_key(base64.b64encode(source.randbytes(32)).decode())


@pytest.mark.parametrize("size", [10, 16, 24])
def test_random_password_is_accepted(size: int) -> None:
    """The same holds for shared secrets of ten or more random letters and digits."""
    draw, source = letters(string.ascii_letters + string.digits, size), random.Random(43)
    for _ in range(DRAWS // 4):
        assert not is_weak_password(draw(source))


@pytest.mark.parametrize(
    "value",
    [
        random.Random(1).randbytes(16).hex(),
        random.Random(2).randbytes(31).hex().upper(),
        "".join(random.Random(3).choices(string.digits, k=62)),
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        random.Random(4).randbytes(20).hex(":"),
        base64.b64encode(random.Random(5).randbytes(25)).decode(),
        base64.urlsafe_b64encode(random.Random(6).randbytes(31)).decode(),
    ],
    ids=["hex 16", "hex 31", "digits", "uuid", "colons", "base64 25", "base64url 31"],
)
def test_secret_key_length_counts_decoded_bytes(value: str) -> None:
    """Two hexadecimal digits count as one byte, and padded base64 as the bytes it decodes to."""
    with pytest.raises(ValueError, match="at least 32 random bytes"):
        parsers.secret_key(value)


LONG = ("sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "blake2s")
DIGESTED = ("", "password", "Secret", "ADMIN", "changeme", "123456", "qwerty", "hello world", "password123", "a")
FURTHER = ("minioadmin", "sft", "geheim123", "baseball", "elephant", "Password1!", "helloworld")


@pytest.mark.parametrize("text", [*DIGESTED, *FURTHER, "your-256-bit-secret", "correct horse battery staple"])
@pytest.mark.parametrize("algorithm", LONG)
def test_digest_of_a_guessable_text_is_refused(text: str, algorithm: str) -> None:
    """A digest of a guessable text looks random but is reproducible, and is refused in hexadecimal and base64."""
    digest = hashlib.new(algorithm, text.encode())
    spelled = base64.b64encode(digest.digest()).decode()
    urlsafe = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    for value in (digest.hexdigest(), digest.hexdigest().upper(), spelled, urlsafe):
        assert refusal_of(SECRET_KEY=value).startswith("SECRET_KEY is a default or example value")
    if digest.digest_size == 32:
        assert refusal_of(ENCRYPTION_KEY=spelled).startswith("ENCRYPTION_KEY is a default or example value")


@pytest.mark.parametrize("text", DIGESTED)
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224"])
def test_short_digest_of_a_guessable_text_is_refused(text: str, algorithm: str) -> None:
    """A short digest is refused, also repeated or with its digits used as bytes."""
    digest = hashlib.new(algorithm, text.encode(), usedforsecurity=False)
    assert is_guessable_bytes(digest.digest())
    for value in (digest.hexdigest(), digest.hexdigest() * 2, base64.b64encode(digest.digest() * 2).decode()):
        assert refusal_of(SECRET_KEY=value).startswith("SECRET_KEY ")
    for raw in (digest.hexdigest()[:32].encode(), (digest.digest() * 2)[:32]):
        assert refusal_of(ENCRYPTION_KEY=base64.b64encode(raw).decode()).startswith("ENCRYPTION_KEY ")


@pytest.mark.parametrize(
    "text",
    [
        *("mysecretkey", "my_secret_key", "MySecretKey", "secret-key", "jwtsecret", "app_secret", "secretkey123"),
        *("my-secret-key-2024", "super secret key", "SuperSecretKey", "adminpassword", "password2024", "admin-2024"),
        *("testkey1", "encryption key", "jwt-secret-key", "Secret!", "changeme!", "password\n"),
    ],
)
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_digest_of_joined_words_is_refused(text: str, algorithm: str) -> None:
    """This holds with and without separators and the usual suffixes."""
    assert is_guessable_bytes(hashlib.new(algorithm, text.encode(), usedforsecurity=False).digest())


@pytest.mark.parametrize("spell", [base64.b64encode, base64.urlsafe_b64encode, lambda raw: raw.hex().encode()])
def test_twice_encoded_digest_is_refused(spell: Callable[[bytes], bytes]) -> None:
    """Pipelines such as `echo secret | sha256sum | base64` are recognised, with and without the line's end."""
    for algorithm in ("md5", "sha256", "sha512"):
        spelled = spell(hashlib.new(algorithm, b"secret", usedforsecurity=False).digest())
        for raw in (spelled, spelled + b"\n", spelled + b"  -\n"):
            text = base64.b64encode(raw).decode()
            assert refusal_of(SECRET_KEY=text).startswith("SECRET_KEY is a default or example value")


def test_digest_of_a_published_value_is_refused() -> None:
    """Only digests of published values are stored here, which makes the digests published as well."""
    for digest in PUBLISHED:
        assert refusal_of(SECRET_KEY=digest).startswith("SECRET_KEY is a default or example value")
        spelled = base64.b64encode(bytes.fromhex(digest)).decode()
        assert refusal_of(ENCRYPTION_KEY=spelled).startswith("ENCRYPTION_KEY is a default or example value")


def refusal_of(**environ: str) -> str:
    keys = ephemeral_keys()
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(keys | environ, data_dir=Path("/nonexistent"))
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "a-string-secret-at-least-256-bits-long",
        "a-valid-string-secret-that-is-at-least-384-bits-long",
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        "your-256-bit-secret-your-256-bit-",
        "SecretSecretSecretSecretSecret1234",
        "jwt_secret_for_production_2024_do_not_share",
        "00112233445566778899aabbccddeeff",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "fedcba9876543210fedcba9876543210",
        "super_secure_fintech_jwt_token_for_everybody",
        "correct-horse-battery-staple-correct-horse",
        "ThisTokenIsNotSoHiddenChangeIt00",
        "tobeornottobethatisthequestion1603",
        "TOBEORNOTTOBETHATISTHEQUESTION1603",
        "itwasthebestoftimesitwastheworstoftimes1859",
        "andtheansweristheothersideofthesameriver-1999",
        "Sup3rS3cr3tK3yTh4tN0b0dyW1llGu3ss",
        "loremipsumdolorsitametconsectetur",
        "asdfasdfasdfasdfasdfasdfasdfasdf",
        "qwertyuiopasdfghjklzxcvbnm123456",
        "deadbeefcafebabedeadbeefcafebabe",
        "p@ssw0rdp@ssw0rdp@ssw0rdp@ssw0rd",
        "dGhpcyBpcyBhIDMyIGJ5dGUgbG9uZyBrZXkgdmFsdWU=",
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "x" * 100_000,
        "word " * 20_000,
    ],
    ids=lambda value: value[:24],
)
def test_invented_or_published_secret_key_is_refused(value: str) -> None:
    """Words, keyboard rows, repetitions, progressions, encoded text and published examples are refused."""
    message = refusal_of(SECRET_KEY=value)
    assert message.startswith("SECRET_KEY is a default or example value")
    assert value not in message


@pytest.mark.parametrize(
    "start",
    ["ssh-rsa AAAA", "ecdsa-sha2-nistp256 AAAA", "-----BEGIN PUBLIC KEY-----", "---- BEGIN SSH2 PUBLIC KEY ----"],
)
def test_key_in_a_file_format_is_no_secret_key(start: str) -> None:
    """It is refused by the settings, before anything is written, and not only by the signer of tokens."""
    value = f"{start}{secrets.token_hex(32)}"
    assert refusal_of(SECRET_KEY=value) == "SECRET_KEY must be random text, not a key in a file format"


@pytest.mark.parametrize(
    "value",
    [
        b"this is a 32 byte long key value",
        "schlüssel mit äöü, recht lang?".encode()[:32].ljust(32, b"."),
        b"short text".ljust(32, b"\0"),
        b"Password-for-SFT-2024".ljust(32, b"\0"),
        b"minioadmin-prod1".ljust(32, b"\0"),
        bytes(range(31, -1, -1)),
        bytes(range(0, 256, 8)),
        bytes(range(200, 232)),
        bytes(range(16)) * 2,
        b"\x13\x37" * 16,
        bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
        base64.urlsafe_b64decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="),
    ],
    ids=str,
)
def test_encryption_key_that_is_not_random_is_refused(value: bytes) -> None:
    """Readable text, progressions, repetitions and keys from specifications are refused."""
    assert refusal_of(ENCRYPTION_KEY=base64.b64encode(value).decode()).startswith(
        "ENCRYPTION_KEY is a default or example"
    )


@pytest.mark.parametrize(
    "value",
    [
        *("minioadmin123", "minio12345", "adminadmin", "rootroot", "Passw0rd!", "admin2024", "rustfsadmin", "11111111"),
        *("9876543210", "1q2w3e4r5t", "1qaz2wsx", "q1w2e3r4", "zaq12wsx", "abcd1234", "iloveyou", "baseball"),
        *("trustno1", "whatever", "geheim123", "contrasena", "motdepasse", "!@#$%^&*"),
        "zuf+tfteSlswRu7BJ86wekitnifILbZam1KYY3TG",
    ],
)
def test_default_shared_secret_is_refused(value: str) -> None:
    """Default secrets are refused with the usual additions too, as is that of a public playground."""
    assert refusal_of(MINIO_SECRET_KEY=value).startswith("MINIO_SECRET_KEY is a default or example value")


@pytest.mark.parametrize("password", ["postgres", "123456", "abc123", "letmein", "p%40ssw0rd", "qwerty", "a"])
def test_default_password_in_a_url_is_refused(password: str) -> None:
    """The password is found before the host and in the query."""
    for name, url in (
        ("DATABASE_URL", f"postgresql://sft:{password}@db.example.org/sft"),
        ("DATABASE_URL", f"postgresql://db.example.org/sft?user=sft&password={password}"),
        ("REDIS_URL", f"redis://:{password}@cache.example.org"),
        ("REDIS_URL", f"redis://cache.example.org?password={password}"),
    ):
        assert refusal_of(**{name: url}) == (f"{name} holds a default or example password: give the server another one")


@pytest.mark.parametrize(
    "value",
    [
        *("s9dK2jfa8", "gOod-41-letters", "not-the-one-41", "correct-horse-battery-staple", "minio-83921"),
        *("redis_48213", "tractor-41-pelican"),
    ],
)
def test_individual_password_is_accepted(value: str) -> None:
    """A password may contain words if there are enough of them."""
    assert not is_weak_password(value)


def test_words_can_be_matched() -> None:
    """Each word is in lower case, like the searched text, and at least three letters long."""
    assert [word for word in WORDS if word != word.lower() or len(word) < 3] == []
