"""
The contracts of `sft_core.users.ports.TotpProvider` and `QrEncoder`.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from sft_adapters.testkit.one_time import STEP_SECONDS, code_of, step_at
from sft_core.errors import BadTotpCode
from sft_core.users.ports import QrEncoder, TotpProvider
from sft_core.values import Secret

SEED = base64.b32encode(b"12345678901234567890").decode()
NOW = datetime(2026, 6, 1, 12, 0, 15, tzinfo=UTC)
STEP = step_at(NOW)
# RFC 6238, appendix B, SHA-1: the last six of its eight digits.
RFC_CODES = {59: "287082", 1111111109: "081804", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"}


def matching_step_of(codes: TotpProvider, code: str, *, now: datetime = NOW) -> int:
    """
    Return the step of a code under the seed of these tests.
    """
    return codes.matching_step(Secret(SEED.encode()), code, now=now)


def in_digits_from(code: str, zero: str) -> str:
    """
    Return a code in the digits of another script, given its zero.
    """
    return "".join(chr(ord(zero) + int(digit)) for digit in code)


class TotpProviderContract:
    """
    Contract suite of `TotpProvider`: RFC 6238 codes, a window of three steps, masked seeds.

    An adapter passes if it accepts the codes of the present and the two neighbouring steps, returns the step
    of the code, and raises `BadTotpCode` for any other text.

    Fixtures:
        codes: The provider.
    """

    @pytest.mark.parametrize(("seconds", "code"), RFC_CODES.items())
    def test_codes_match_rfc_6238(self, codes: TotpProvider, seconds: int, code: str) -> None:
        """The test codes of RFC 6238, appendix B match at their steps."""
        assert matching_step_of(codes, code, now=datetime.fromtimestamp(seconds, UTC)) == seconds // STEP_SECONDS

    @pytest.mark.parametrize("away", [-1, 0, 1])
    def test_neighbouring_code_matches_its_own_step(self, codes: TotpProvider, away: int) -> None:
        """The result is the code's step, not the clock's, so a spent code is recognised in the next step."""
        assert matching_step_of(codes, code_of(SEED, STEP + away)) == STEP + away

    @pytest.mark.parametrize("away", [-100, -3, -2, 2, 3, 100])
    def test_code_of_a_distant_step_is_refused(self, codes: TotpProvider, away: int) -> None:
        """A code two or more steps away raises `BadTotpCode`."""
        with pytest.raises(BadTotpCode):
            matching_step_of(codes, code_of(SEED, STEP + away))

    @pytest.mark.parametrize("second", [0, 29.999999])
    def test_step_lasts_thirty_seconds(self, codes: TotpProvider, second: float) -> None:
        """The window is the same from the first to the last microsecond of a step."""
        now = datetime.fromtimestamp(STEP * STEP_SECONDS + second, UTC)
        window = [STEP - 1, STEP, STEP + 1]
        assert [matching_step_of(codes, code_of(SEED, step), now=now) for step in window] == window
        for away in (-2, 2):
            with pytest.raises(BadTotpCode):
                matching_step_of(codes, code_of(SEED, STEP + away), now=now)

    def test_code_other_than_six_ascii_digits_is_refused(self, codes: TotpProvider) -> None:
        """Full-width and Arabic digits, spaces, signs and other lengths are refused, even for the right code."""
        code = code_of(SEED, STEP)
        scripts = [in_digits_from(code, zero) for zero in ("\uff10", "\u0660", "\U0001d7ce")]
        spaced = [" " + code, code + " ", code + "\n", code[:3] + " " + code[3:], "+" + code[1:], "-" + code[1:]]
        for spelling in ("", code[:5], code + "0", "0" + code, code * 1000, *scripts, *spaced):
            with pytest.raises(BadTotpCode):
                matching_step_of(codes, spelling)

    def test_code_of_another_seed_is_refused(self, codes: TotpProvider) -> None:
        """A code matches the seed it was computed from and no other."""
        window = {code_of(SEED, STEP + away) for away in (-1, 0, 1)}
        seeds = (base64.b32encode(bytes([number]) * 20).decode() for number in range(10))
        for code in {code_of(seed, STEP) for seed in seeds} - window:
            with pytest.raises(BadTotpCode):
                matching_step_of(codes, code)

    def test_new_seed_has_160_random_bits(self, codes: TotpProvider) -> None:
        """A seed is 32 base32 characters in ASCII, different at each call, and masked in its repr."""
        seeds = [codes.new_seed() for _ in range(20)]
        assert len({seed.reveal() for seed in seeds}) == 20
        assert all(len(seed) == 32 and len(base64.b32decode(seed.reveal())) == 20 for seed in seeds)
        assert all(seed.reveal().decode() not in repr(seed) for seed in seeds)

    def test_new_seed_computes_accepted_codes(self, codes: TotpProvider) -> None:
        """A code that an authenticator app computes from a new seed is accepted."""
        seed = codes.new_seed()
        assert codes.matching_step(seed, code_of(seed.reveal().decode(), STEP), now=NOW) == STEP

    @pytest.mark.parametrize("account", ["maya@example.org", "maya+files@example.org", "m&a=y?a@example.org"])
    def test_enrolment_uri_is_readable_by_apps(self, codes: TotpProvider, account: str) -> None:
        """The URI names the account and the seed, implies the default parameters, and is masked in its repr."""
        uri = codes.enrolment_uri(Secret(SEED.encode()), account)
        parts = urlsplit(uri.reveal().decode())
        query = parse_qs(parts.query)
        assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
        assert unquote(parts.path).rpartition(":")[2].removeprefix("/").strip() == account
        assert query["secret"] == [SEED]
        assert (query.get("digits", ["6"]), query.get("period", ["30"])) == (["6"], ["30"])
        assert query.get("algorithm", ["SHA1"]) == ["SHA1"]
        assert SEED not in repr(uri)


def png_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """
    Iterate over the chunks of a PNG image (ISO/IEC 15948), checking each checksum.
    """
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    at = 8
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        kind, body = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", image, at + 8 + length) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + length


class QrEncoderContract:
    """
    Contract suite of `QrEncoder`: a square PNG image per text, masked like the text.

    The suite does not decode the image: the adapter's own tests must do that.

    Fixtures:
        qr: The encoder.
    """

    def test_png_is_valid_and_square(self, qr: QrEncoder) -> None:
        """The signature, the first and last chunks and the checksums are those of PNG, and width equals height."""
        chunks = list(png_chunks(qr.png(Secret(b"otpauth://totp/a?secret=" + SEED.encode())).reveal()))
        assert [chunks[0][0], chunks[-1][0]] == [b"IHDR", b"IEND"]
        width, height = struct.unpack_from(">II", chunks[0][1])
        assert width == height >= 21
        assert zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))

    def test_png_depends_on_the_text_alone(self, qr: QrEncoder) -> None:
        """Texts that differ in one character have different images; equal texts have equal ones."""
        images = [qr.png(Secret(text)).reveal() for text in (b"text a", b"text b", b"text a")]
        assert images[0] != images[1]
        assert images[0] == images[2]

    def test_png_is_masked_and_contains_no_clear_text(self, qr: QrEncoder) -> None:
        """The image is a `Secret`, and contains the text nowhere in clear."""
        image = qr.png(Secret(SEED.encode()))
        assert isinstance(image, Secret)
        assert SEED.encode() not in image.reveal()
        assert SEED not in repr(image)
