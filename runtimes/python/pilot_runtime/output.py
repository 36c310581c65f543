"""What a function prints, as log frames tied to the running call.

O1  Whole lines leave at once; the rest of a line waits for its end or for the end of the call.
O2  A call gets LOG_PER_CALL bytes in all, a line LOG_LINE; so does the time between two calls, which is call 0.
"""
import io
import os
import sys
from _thread import RLock

from .channel import FRAME_LOG, LOG_LOG, LOG_STDERR, LOG_STDOUT

LOG_LINE = 8192
LOG_PER_CALL = 262144
TRUNCATED = "… output truncated\n".encode()
CUT = "…".encode()


def cut(text, limit):
    """The beginning of some UTF-8 bytes, at most `limit` long, never half a character."""
    if len(text) <= limit:
        return text
    return bytes(text[: limit - len(CUT)]).decode("utf-8", "ignore").encode() + CUT


class Output:
    def __init__(self, host):
        self._host = host
        self._call = 0
        self._left = LOG_PER_CALL
        self._partial = {LOG_STDOUT: b"", LOG_STDERR: b""}
        self._lock = RLock()

    def write(self, stream, data):
        if not self._host.attached:
            os.write(stream + 1, data)
            return
        with self._lock:
            if self._left <= 0:
                return
            if len(data) > self._left:
                # What cannot be sent anyway is not even looked at: a single write may be hundreds of megabytes.
                self._emit(stream, self._partial[stream] + bytes(data[: self._left]) + b"\n")
                self._partial[stream] = b""
                if self._left > 0:
                    self._host.send(FRAME_LOG, stream, self._call, b"", TRUNCATED)
                self._left = 0
                return
            whole = self._partial[stream] + bytes(data)
            end = whole.rfind(b"\n") + 1
            if end == 0:
                self._partial[stream] = whole[: LOG_LINE + 1]
            else:
                self._partial[stream] = whole[end:]
                self._emit(stream, whole[:end])

    def line(self, of, text):
        """One line of context.log of call `of`; when that has ended, it belongs to no call."""
        with self._lock:
            self._emit(LOG_LOG, text + b"\n", of if of == self._call else 0)

    def flush(self):
        """Sends unfinished lines too."""
        for stream, rest in self._partial.items():
            if rest:
                with self._lock:
                    self._partial[stream] = b""
                    self._emit(stream, rest + b"\n")

    def switch_to(self, call):
        """From now on output belongs to this call; 0 is no call."""
        self.flush()
        self._call = call
        self._left = LOG_PER_CALL

    def _emit(self, stream, lines, of=None):
        if self._left <= 0:
            return
        if len(lines) > LOG_LINE:
            lines = b"\n".join(cut(line, LOG_LINE) for line in lines.split(b"\n"))
        if len(lines) <= self._left:
            self._left -= len(lines)
        else:
            lines = cut(lines, self._left) + b"\n" + TRUNCATED
            self._left = 0
        self._host.send(FRAME_LOG, stream, self._call if of is None else of, b"", lines)


class _Stream(io.RawIOBase):
    def __init__(self, output, stream):
        self._output = output
        self._stream = stream

    def writable(self):
        return True

    def fileno(self):
        return self._stream + 1

    def write(self, data):
        self._output.write(self._stream, memoryview(data).cast("B"))
        return len(data)


def install(output):
    """Puts the streams where sys.stdout and sys.stderr were."""
    for name, stream in (("stdout", LOG_STDOUT), ("stderr", LOG_STDERR)):
        text = io.TextIOWrapper(_Stream(output, stream), encoding="utf-8", errors="backslashreplace", write_through=True)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
