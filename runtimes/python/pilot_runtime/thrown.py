"""Describes any exception as {type, message, stack}, bounded, without trusting it: __str__ may raise or be huge."""
import json

from .channel import FRAME_EXTRA

TYPE_CHARACTERS = 256
MESSAGE_BYTES = 8192
STACK_BYTES = 32768
STACK_FRAMES = 64
CAUSES = 3
OWN = __file__.rpartition("/")[0]


def cut(text, limit):
    """The beginning of a text, at most `limit` bytes in UTF-8."""
    if len(text) * 4 <= limit:
        return text
    encoded = text[:limit].encode("utf-8", "backslashreplace")
    if len(encoded) <= limit and len(text) <= limit:
        return text
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def _message(error):
    try:
        return cut(str(error), MESSAGE_BYTES)
    except BaseException:
        return "an exception that cannot be shown"


def _type(error):
    name = getattr(error, "pilot_name", None)
    return (name if isinstance(name, str) else type(error).__name__)[:TYPE_CHARACTERS]


def _frames(error):
    import traceback

    entries = traceback.extract_tb(error.__traceback__, limit=-STACK_FRAMES)
    shown = [entry for entry in entries if not entry.filename.startswith((OWN, "<frozen importlib")) and entry.name != "run_until_complete"]
    return "Traceback (most recent call last):\n" + "".join(traceback.format_list(shown)) if shown else ""


def _place(error):
    """Where a SyntaxError is, as the interpreter shows it."""
    import traceback

    return "".join(traceback.format_exception_only(type(error), error))


def _stack(error, depth):
    try:
        last = _place(error) if isinstance(error, SyntaxError) else f"{_type(error)}: {_message(error)}\n"
        text = _frames(error) + last
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is not None and depth < CAUSES:
            text += f"caused by {_stack(cause, depth + 1)}"
        return text
    except BaseException:
        return ""


def describe(error, prefix=""):
    """{type, message[, stack]} of an exception; never raises."""
    shown = {"type": _type(error), "message": prefix + _message(error)}
    stack = _stack(error, 0)
    if stack:
        shown["stack"] = cut(stack.rstrip("\n"), STACK_BYTES)
    return shown


def encode(shown):
    """A description as JSON bytes that fit the extra part of a frame: escapes can make them six times longer."""
    while True:
        data = json.dumps(shown).encode()
        if len(data) <= FRAME_EXTRA:
            return data
        part = "stack" if len(shown.get("stack", "")) > 1024 else "message"
        shown = {**shown, part: shown[part][: len(shown[part]) // 2]}
