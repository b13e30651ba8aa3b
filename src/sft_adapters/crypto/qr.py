"""
QR codes (ISO/IEC 18004) as PNG images, created in memory only.
"""

from __future__ import annotations

import io
from typing import Final

import attrs
from qrcode.constants import ERROR_CORRECT_M
from qrcode.exceptions import DataOverflowError
from qrcode.image.pure import PyPNGImage
from qrcode.main import QRCode

from sft_core.errors import InvalidValue
from sft_core.values import Secret

QUIET_ZONE: Final = 4
"""The width in modules of the white border that the standard requires on every side."""


@attrs.frozen
class QrPng:
    """
    Implements `sft_core.users.ports.QrEncoder`; each module is drawn `scale` pixels wide.

    The largest code contains 2 331 bytes: a longer text raises `InvalidValue`.
    """

    scale: int = 6

    def png(self, text: Secret) -> Secret:
        size, border = self.scale, QUIET_ZONE
        code = QRCode(error_correction=ERROR_CORRECT_M, box_size=size, border=border, image_factory=PyPNGImage)
        code.add_data(text.reveal())
        image = io.BytesIO()
        try:
            code.make_image().save(image)
        except (DataOverflowError, ValueError):
            raise InvalidValue("text", "does not fit into a QR code") from None
        return Secret(image.getvalue())
