"""
The log: one line per request, and no secret in it.
"""

from __future__ import annotations

import json
import logging

import pytest

from sft_http.asgi import exchange as exchange_module
from sft_http.server.json_logging import JsonFormatter
from support.app.edge import API, Edge


def test_access_log_has_one_line_per_request_and_no_secret(
    service: Edge, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Link tokens, access tokens, passwords and query values are not logged."""
    caplog.set_level(logging.INFO, logger="sft.access")
    file = service.store(token, b"x", is_public="true")
    caplog.clear()
    service.call("GET", f"/files/shared/{file['share_token']}", query="canary-in-query=1")
    service.call("GET", f"/nowhere/{file['share_token']}")
    service.call("POST", "/auth/login", body={"email": "canary-mail@example.org", "password": "canary-password"})
    service.call("GET", "/files", token=token)
    records = [record for record in caplog.records if record.name == "sft.access"]
    lines = [json.loads(JsonFormatter().format(record)) for record in records]
    assert [line["status"] for line in lines] == [200, 404, 401, 200]
    assert lines[0]["route"] == f"{API}/files/shared/{{token}}"
    assert lines[3]["user"]
    text = json.dumps(lines)
    for secret in (file["share_token"], token, "canary"):
        assert secret not in text


def test_message_cannot_forge_a_line() -> None:
    """A message with line breaks and quotes is logged as one line."""
    record = logging.LogRecord("sft", logging.INFO, "", 0, 'first\n{"level": "error"}', None, None)
    assert len(JsonFormatter().format(record).splitlines()) == 1
    assert exchange_module.access_log.name == "sft.access"
