"""
Logs as JSON, one object a line, for people with `jq` and for machines.

What a line may hold is decided where it is logged: an event's own fields go in `extra={"fields":
{...}}`. Exceptions are logged with their stack and never with the values of variables.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """
    Writes a record as one JSON object: time (RFC 3339, UTC), level, logger, message, own fields.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


@contextmanager
def json_logs_during_startup() -> Iterator[None]:
    """
    Write what is logged before the server sets logs up as JSON lines, too.
    """
    handler, logger = logging.StreamHandler(), logging.getLogger("sft")
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def logging_config(*, debug: bool) -> dict[str, Any]:
    """
    A `logging.config.dictConfig` that sends everything to standard error as JSON lines.
    """
    level = "DEBUG" if debug else "INFO"
    json_only = {"handlers": ["json"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.{JsonFormatter.__name__}"}},
        "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": "WARNING", "handlers": ["json"]},
        "loggers": {
            "sft": json_only | {"level": level},
            # Speaks only if `DB_ECHO` is on, and would bring a handler of its own.
            "sqlalchemy.engine.Engine": json_only,
            # The server tells of each worker's start at INFO; that a person reads once, at start.
            "gunicorn.error": json_only | {"level": "INFO" if debug else "WARNING"},
            "gunicorn.access": json_only | {"level": "WARNING"},
        },
    }
