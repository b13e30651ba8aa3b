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


def matched(codes: TotpProvider, code: str, *, now: datetime = NOW) -> int:
    """
    The step of a code under the seed of these tests.
    """
    return codes.matching_step(Secret(SEED.encode()), code, now=now)


def in_digits_from(code: str, zero: str) -> str:
    """
    A code in the digits of another script, given by its zero.
    """
    return "".join(chr(ord(zero) + int(digit)) for digit in code)


class TotpProviderContract:
    """
    Give the fixture `codes`.
    """

    @pytest.mark.parametrize(("seconds", "code"), RFC_CODES.items())
    def test_codes_are_those_of_the_rfc(self, codes: TotpProvider, seconds: int, code: str) -> None:
        """The codes of RFC 6238, appendix B belong to their steps."""
        assert matched(codes, code, now=datetime.fromtimestamp(seconds, UTC)) == seconds // STEP_SECONDS

    @pytest.mark.parametrize("away", [-1, 0, 1])
    def test_a_neighbour_is_accepted_as_its_own_step(self, codes: TotpProvider, away: int) -> None:
        """The step is the code's and not the clock's: spent once, it is known again."""
        assert matched(codes, code_of(SEED, STEP + away)) == STEP + away

    @pytest.mark.parametrize("away", [-100, -3, -2, 2, 3, 100])
    def test_other_steps_are_refused(self, codes: TotpProvider, away: int) -> None:
        """A code from two steps or more away is refused."""
        with pytest.raises(BadTotpCode):
            matched(codes, code_of(SEED, STEP + away))

    @pytest.mark.parametrize("second", [0, 29.999999])
    def test_a_step_lasts_thirty_seconds(self, codes: TotpProvider, second: float) -> None:
        """From its first to its last moment the window is the same."""
        now = datetime.fromtimestamp(STEP * STEP_SECONDS + second, UTC)
        window = [STEP - 1, STEP, STEP + 1]
        assert [matched(codes, code_of(SEED, step), now=now) for step in window] == window
        for away in (-2, 2):
            with pytest.raises(BadTotpCode):
                matched(codes, code_of(SEED, STEP + away), now=now)

    def test_only_six_ascii_digits_are_a_code(self, codes: TotpProvider) -> None:
        """Full-width and Arabic digits, spaces, signs and other lengths are refused, right or not."""
        code = code_of(SEED, STEP)
        scripts = [in_digits_from(code, zero) for zero in ("\uff10", "\u0660", "\U0001d7ce")]
        spaced = [" " + code, code + " ", code + "\n", code[:3] + " " + code[3:], "+" + code[1:], "-" + code[1:]]
        for spelling in ("", code[:5], code + "0", "0" + code, code * 1000, *scripts, *spaced):
            with pytest.raises(BadTotpCode):
                matched(codes, spelling)

    def test_another_seeds_code_is_refused(self, codes: TotpProvider) -> None:
        """A code proves the seed it was made from and no other."""
        window = {code_of(SEED, STEP + away) for away in (-1, 0, 1)}
        seeds = (base64.b32encode(bytes([number]) * 20).decode() for number in range(10))
        for code in {code_of(seed, STEP) for seed in seeds} - window:
            with pytest.raises(BadTotpCode):
                matched(codes, code)

    def test_a_seed_is_160_random_bits(self, codes: TotpProvider) -> None:
        """It has 32 base32 characters in ASCII, other ones at each call, and is masked."""
        seeds = [codes.new_seed() for _ in range(20)]
        assert len({seed.reveal() for seed in seeds}) == 20
        assert all(len(seed) == 32 and len(base64.b32decode(seed.reveal())) == 20 for seed in seeds)
        assert all(seed.reveal().decode() not in repr(seed) for seed in seeds)

    def test_a_new_seed_makes_codes(self, codes: TotpProvider) -> None:
        """What an app computes from a fresh seed is accepted."""
        seed = codes.new_seed()
        assert codes.matching_step(seed, code_of(seed.reveal().decode(), STEP), now=NOW) == STEP

    @pytest.mark.parametrize("account", ["maya@example.org", "maya+files@example.org", "m&a=y?a@example.org"])
    def test_the_enrolment_uri_is_what_apps_read(self, codes: TotpProvider, account: str) -> None:
        """It names the account and the seed, leaves the defaults as they are, and is masked."""
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
    The chunks of a PNG image (ISO/IEC 15948), each checked against its sum.
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
    Give the fixture `qr`. What the code says is not read back here: an adapter's own tests do that.
    """

    def test_the_image_is_a_square_png(self, qr: QrEncoder) -> None:
        """It begins, ends and sums up as a PNG image does, and is as high as it is wide."""
        chunks = list(png_chunks(qr.png(Secret(b"otpauth://totp/a?secret=" + SEED.encode())).reveal()))
        assert [chunks[0][0], chunks[-1][0]] == [b"IHDR", b"IEND"]
        width, height = struct.unpack_from(">II", chunks[0][1])
        assert width == height >= 21
        assert zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))

    def test_each_text_has_an_image_of_its_own(self, qr: QrEncoder) -> None:
        """Texts that differ in one character are drawn differently, the same one the same."""
        images = [qr.png(Secret(text)).reveal() for text in (b"text a", b"text b", b"text a")]
        assert images[0] != images[1]
        assert images[0] == images[2]

    def test_the_image_is_as_secret_as_its_text(self, qr: QrEncoder) -> None:
        """It is wrapped, masks itself, and holds the text nowhere in clear."""
        image = qr.png(Secret(SEED.encode()))
        assert isinstance(image, Secret)
        assert SEED.encode() not in image.reveal()
        assert SEED not in repr(image)
