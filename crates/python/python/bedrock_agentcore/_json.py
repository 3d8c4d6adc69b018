"""From a request's text to a payload, and from what a handler returns to JSON.

Python's `json` reads and writes NaN and infinities, which JSON does not have. Here they do not come
in, as they do not with the Rust SDK; and what goes out, every client can read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from ._native import parse_float

if TYPE_CHECKING:
    from collections.abc import Callable


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON: send null, or a string")


#: The value of a JSON text. A ValueError or a RecursionError when it is none. Half a character
#: (`"\ud800"`) passes, unlike in Rust: JSON can say it, and Python's strings can hold it.
parse = json.JSONDecoder(parse_float=parse_float, parse_constant=_refuse).decode


def _convert(value: Any) -> Any:
    """What JSON does not know: models, dataclasses, sets."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(type(value), "__dataclass_fields__"):
        return {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _writer(**options: Any) -> Callable[[Any], bytes]:
    """A function that writes JSON: without escapes where it can, and always without NaN."""
    to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, **options).encode
    to_ascii = json.JSONEncoder(allow_nan=False, **options).encode
    to_text_with_nan = json.JSONEncoder(**options).encode

    def write(value: Any) -> bytes:
        try:
            return to_text(value).encode()
        except UnicodeEncodeError:
            return to_ascii(value).encode()  # half a character: only an escape can say that
        except ValueError:
            # NaN or an infinity is null, as JavaScript and the Rust SDK write it.
            return write(json.loads(to_text_with_nan(value), parse_constant=lambda name: None))

    return write


_write = _writer(default=_convert)

#: JSON as errors have it.
encode_compact = _writer(default=str, separators=(",", ":"))


def encode(value: Any) -> bytes:
    """JSON with spaces and without escapes. What is no JSON is sent as its text."""
    try:
        return _write(value)
    except Exception:
        return _encode_as_text(value)


def _encode_as_text(value: Any) -> bytes:
    try:
        return _write(str(value))
    except Exception:
        return _write({"error": "Serialization failed", "original_type": type(value).__name__})


def to_record(value: Any) -> str:
    """JSON for the record of a task."""
    return encode(value).decode()
