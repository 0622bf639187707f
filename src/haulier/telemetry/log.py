"""Logs: one JSON line an event to a file or standard error; readable lines on a terminal."""

import logging
import sys
from pathlib import Path
from typing import TextIO

import structlog

# A traceback is printed without the values of variables: there may be a password among them.
_READABLE = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
_JSON = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def configure(path: Path | None = None, level: int = logging.INFO) -> None:
    """Send every log line to `path` (appended, JSON), or to standard error when it is None."""
    stream: TextIO = path.open("a", encoding="utf-8", buffering=1) if path is not None else sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_READABLE if path is None and stream.isatty() else _JSON),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=stream, level=logging.WARNING, force=True)
