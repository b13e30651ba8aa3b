"""
The log: one line a request, and no secret in it.
"""

from __future__ import annotations

import json
import logging

import pytest

from sft_http.asgi import exchange as exchange_module
from sft_http.server.json_logging import JsonFormatter
from support.app.edge import API, Edge


def test_one_line_a_request_and_no_secret_in_it(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens of links, of logins, passwords and query values stay out of the log."""
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


def test_a_line_survives_whatever_is_logged() -> None:
    """Line breaks and quotes in a message cannot forge a second line."""
    record = logging.LogRecord("sft", logging.INFO, "", 0, 'first\n{"level": "error"}', None, None)
    assert len(JsonFormatter().format(record).splitlines()) == 1
    assert exchange_module.access_log.name == "sft.access"
