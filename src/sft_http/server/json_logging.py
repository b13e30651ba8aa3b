"""
Logs as JSON, one object a line.

The caller decides which values a line contains: the fields of an event are passed in
`extra={"fields": {...}}`. Exceptions are logged with their stack, without the values of variables.
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
    Formats records as JSON objects: time (RFC 3339, UTC), level, logger, message, own fields.
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
    Write JSON lines also before the server has configured its logs.
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
    Return a `logging.config.dictConfig` that writes all logs to standard error as JSON lines.
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
            # Logs only with `DB_ECHO`, and would add a handler of its own.
            "sqlalchemy.engine.Engine": json_only,
            # gunicorn logs the start of each worker at INFO, which the service reports itself.
            "gunicorn.error": json_only | {"level": "INFO" if debug else "WARNING"},
            "gunicorn.access": json_only | {"level": "WARNING"},
        },
    }
