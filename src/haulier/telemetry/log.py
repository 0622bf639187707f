"""Logs: one JSON line an event to a file or standard error; readable lines on a terminal."""

import logging
import sys
from pathlib import Path
from typing import TextIO

import structlog


def configure(path: Path | None = None, level: int = logging.INFO) -> None:
    """Send every log line to `path` (appended, JSON), or to standard error when it is None."""
    stream: TextIO = path.open("a", encoding="utf-8", buffering=1) if path is not None else sys.stderr
    readable = path is None and stream.isatty()
    renderer = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=stream, level=logging.WARNING, force=True)
