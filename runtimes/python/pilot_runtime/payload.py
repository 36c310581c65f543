"""How bytes become values and values become bytes: events, results, and what context.call and kv carry."""
from json import JSONDecoder, JSONEncoder

JSON_START = frozenset(b'{["-0123456789tfn \n\r\t')


def _refuse(name):
    raise ValueError(f"{name} is not JSON")


_parse = JSONDecoder(parse_constant=_refuse).decode
_text = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ascii = JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def to_value(data):
    """JSON when the bytes are JSON, else the bytes. No bytes are no JSON."""
    if len(data) > 0 and data[0] in JSON_START:
        try:
            return _parse(str(data, "utf-8"))
        except (ValueError, RecursionError):
            pass
    return bytes(data)


def as_bytes(value):
    """The bytes of a value that is bytes, bytearray or memoryview, else None."""
    if isinstance(value, (bytes, bytearray)):
        return value
    if isinstance(value, memoryview):
        return value.tobytes()
    return None


def as_json(value):
    """JSON bytes of a value. Raises what the encoder raises when it cannot be JSON; NaN and infinities cannot."""
    text = _text(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _ascii(value).encode()
