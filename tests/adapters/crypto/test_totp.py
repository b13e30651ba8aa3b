"""
TOTP codes, and the QR codes that contain their seeds.
"""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import png
import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

from sft_adapters.crypto.qr import QUIET_ZONE, QrPng
from sft_adapters.crypto.totp import PyotpProvider
from sft_core.errors import BadTotpCode, ConfigurationError, InvalidValue
from sft_core.ports import Entropy
from sft_core.values import Secret

RFC_SEED = Secret(base64.b32encode(b"12345678901234567890"))
NOW = datetime(2026, 6, 1, 12, 0, 15, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30


@pytest.fixture(scope="session")
def codes(entropy: Entropy) -> PyotpProvider:
    return PyotpProvider(entropy, "Secure File Transfer")


def code_of(step: int) -> str:
    return pyotp.TOTP(RFC_SEED.reveal().decode()).generate_otp(step)


def test_clock_set_back_gives_the_same_step(codes: PyotpProvider) -> None:
    """
    The step depends on the code, not on the clock, so a spent code is recognised.
    """
    code = code_of(STEP)
    assert codes.matching_step(RFC_SEED, code, now=NOW - timedelta(seconds=30)) == STEP
    with pytest.raises(BadTotpCode):
        codes.matching_step(RFC_SEED, code, now=NOW - timedelta(seconds=90))


ODD_CODES = [
    lambda code: code[:0],
    lambda code: code[:5],
    lambda code: code + "0",
    lambda code: " " + code,
    lambda code: code + " ",
    lambda code: code + "\u00e9",
    lambda code: code + "\n",
    lambda code: code[:3] + " " + code[3:],
    lambda code: "".join(chr(ord("\uff10") + int(digit)) for digit in code),
    lambda code: "".join(chr(ord("\u0660") + int(digit)) for digit in code),
    int,
    lambda code: code.encode(),
    lambda code: [code],
    lambda code: "+" + code[1:],
    lambda code: code * 10_000,
]


@pytest.mark.parametrize("spell", ODD_CODES)
def test_only_six_ascii_digits_are_a_code(spell: object, codes: PyotpProvider) -> None:
    """
    Full-width and Arabic digits, numbers, spaces and other lengths are refused, even for a valid code.
    """
    assert callable(spell)
    with pytest.raises(BadTotpCode):
        codes.matching_step(RFC_SEED, spell(code_of(STEP)), now=NOW)


@given(st.integers(0, 999_999).map("{:06}".format))
def test_any_other_code_is_refused(codes: PyotpProvider, code: str) -> None:
    """
    Of a million codes only the three of the window are accepted.
    """
    window = {code_of(STEP + offset): STEP + offset for offset in (-1, 0, 1)}
    if code in window:
        assert codes.matching_step(RFC_SEED, code, now=NOW) == window[code]
    else:
        with pytest.raises(BadTotpCode):
            codes.matching_step(RFC_SEED, code, now=NOW)


def test_code_of_two_steps_counts_as_the_later(codes: PyotpProvider) -> None:
    """
    If two neighbouring steps share a code it counts as the later step, so it cannot be used again.
    """
    shared = 59_061_240
    assert code_of(shared) == code_of(shared + 1)
    now = datetime.fromtimestamp(shared * 30, UTC)
    assert codes.matching_step(RFC_SEED, code_of(shared), now=now) == shared + 1


def test_first_step_has_no_step_before(codes: PyotpProvider) -> None:
    """
    At step 0 no negative step is tried.
    """
    assert codes.matching_step(RFC_SEED, code_of(0), now=datetime.fromtimestamp(0, UTC)) == 0


def test_enrolment_uri_has_the_format_of_apps(codes: PyotpProvider) -> None:
    """
    The URI contains issuer, account and seed, and its `repr` is masked.
    """
    uri = codes.enrolment_uri(RFC_SEED, "ann+tag@example.org")
    parts = urlsplit(uri.reveal().decode())
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/Secure File Transfer:ann+tag@example.org"
    assert parse_qs(parts.query) == {"secret": [RFC_SEED.reveal().decode()], "issuer": ["Secure File Transfer"]}
    assert RFC_SEED.reveal().decode() not in repr(uri)


@pytest.mark.parametrize("issuer", ["", "  ", "Acme: Files"])
def test_issuer_is_a_name_without_a_colon(issuer: str, entropy: Entropy) -> None:
    """
    An issuer that apps would misread is refused at start, and the error names the setting.
    """
    with pytest.raises(ConfigurationError, match="TWO_FACTOR_ISSUER"):
        PyotpProvider(entropy, issuer)


def modules_of(image: bytes, scale: int) -> list[list[bool]]:
    """
    The dark modules of a QR image, after a check that all pixels of each module agree.
    """
    width, height, rows, _ = png.Reader(io.BytesIO(image)).asDirect()
    assert width == height
    assert width % scale == 0
    pixels = [[value == 0 for value in row] for row in rows]
    drawn = [row[::scale] for row in pixels[::scale]]
    assert pixels == [[module for module in row for _ in range(scale)] for row in drawn for _ in range(scale)]
    return drawn


@pytest.mark.parametrize("scale", [1, 6])
@pytest.mark.parametrize("text", [b"x", b"otpauth://totp/a:b?secret=" + b"A" * 32, b"\x00\xff" * 500])
def test_png_shows_the_qr_code(text: bytes, scale: int) -> None:
    """
    The image shows exactly the modules of the text's code, in a quiet zone of four.
    """
    code = QRCode(error_correction=ERROR_CORRECT_M, border=QUIET_ZONE)
    code.add_data(text)
    assert modules_of(QrPng(scale).png(Secret(text)).reveal(), scale) == code.get_matrix()


def test_png_has_finder_patterns_in_a_quiet_zone() -> None:
    """
    Three corners contain the finder patterns, surrounded by white.
    """
    drawn = modules_of(QrPng().png(Secret(b"otpauth://totp/a")).reveal(), 6)
    finder_pattern = ["#######", "#     #", "# ### #", "# ### #", "# ### #", "#     #", "#######"]
    end = len(drawn)
    for top, left in ((4, 4), (4, end - 11), (end - 11, 4)):
        assert [
            "".join("# "[not module] for module in row[left : left + 7]) for row in drawn[top : top + 7]
        ] == finder_pattern
    assert not any(any(row) for row in drawn[:4] + drawn[-4:])
    assert not any(any(row[:4] + row[-4:]) for row in drawn)


def test_png_masks_itself() -> None:
    """
    The image is as secret as its text, so its `repr` is masked.
    """
    image = QrPng().png(Secret(b"otpauth://totp/a?secret=A"))
    assert repr(image) == "Secret(***)"


def test_text_too_long_for_a_qr_code_is_refused() -> None:
    """
    The largest code holds 2 331 bytes; one more is refused.
    """
    QrPng(1).png(Secret(b"a" * 2331))
    with pytest.raises(InvalidValue):
        QrPng(1).png(Secret(b"a" * 2332))
