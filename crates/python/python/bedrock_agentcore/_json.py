"""From what a handler returns to JSON."""

from __future__ import annotations

import json
from typing import Any


def _convert(value: Any) -> Any:
    """What JSON does not know: models, dataclasses, sets."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(type(value), "__dataclass_fields__"):
        return {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_to_text = json.JSONEncoder(ensure_ascii=False, default=_convert).encode
_to_ascii = json.JSONEncoder(default=_convert).encode
_to_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def encode(value: Any) -> bytes:
    """JSON with spaces and without escapes. What is no JSON is sent as its text."""
    try:
        return _to_text(value).encode()
    except UnicodeEncodeError:
        return _to_ascii(value).encode()  # half a character: only an escape can say that
    except Exception:
        return _encode_as_text(value)


def _encode_as_text(value: Any) -> bytes:
    try:
        text = str(value)
    except Exception:
        return _to_text({"error": "Serialization failed", "original_type": type(value).__name__}).encode()
    try:
        return _to_text(text).encode()
    except UnicodeEncodeError:
        return _to_ascii(text).encode()


def encode_compact(value: Any) -> bytes:
    """JSON as errors have it."""
    try:
        return _to_compact(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def to_record(value: Any) -> str:
    """JSON for the record of a task."""
    return encode(value).decode()
