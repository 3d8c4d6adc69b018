"""Logs: JSON lines on standard error, each of which reads alone."""

from __future__ import annotations

import json
import logging
import time

from ._stream import text_of
from .runtime.context import BedrockAgentCoreContext

LOGGER = "bedrock_agentcore.app"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, with the ids of the request that it was written for."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "timestamp": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if request_id := BedrockAgentCoreContext.get_request_id():
            line["requestId"] = request_id
        if session_id := BedrockAgentCoreContext.get_session_id():
            line["sessionId"] = session_id
        if record.exc_info and (error := record.exc_info[1]) is not None:
            import traceback

            line["errorType"] = type(error).__name__
            line["errorMessage"] = text_of(error)
            line["stackTrace"] = traceback.format_exception(error)
            line["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        return json.dumps(line, ensure_ascii=False, default=str)


def logger(debug: bool) -> logging.Logger:
    """The logger, set up unless the author has done so."""
    log = logging.getLogger(LOGGER)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        log.addHandler(handler)
        log.setLevel(logging.DEBUG if debug else logging.INFO)
    return log
