"""The container's end of the channel: cuts what arrives into frames and writes frames at once.

C1  A frame is on the socket when `send` returns: nothing is queued here, so nothing is lost at exit.
C2  A broken or closed channel ends the process: without its host a container has no purpose.
C3  A process that a function forked has no channel: it may neither read frames nor mix its own into the stream.

The numbers repeat protocol/frames.ts and protocol/limits.ts; test/protocol/frames.test.ts compares them.
"""
import os
from _thread import RLock
from struct import Struct

CHANNEL = 3
FRAME_HEAD = 12
FRAME_LOAD = 1
FRAME_CALL = 2
FRAME_ANSWER = 3
FRAME_FORK = 4
FRAME_TAKE_BACK = 5
FRAME_READY = 16
FRAME_LOADED = 17
FRAME_LOAD_FAILED = 18
FRAME_RESULT = 19
FRAME_FAILED = 20
FRAME_LOG = 21
FRAME_REQUEST = 22
FRAME_FORK_ENDED = 23
FRAME_GIVEN_BACK = 24
LOG_STDOUT = 0
LOG_STDERR = 1
LOG_LOG = 2
FRAME_EXTRA = 61440
FRAME_PAYLOAD = 67108864
BODY_LIMIT = 4177920
LARGE_BODY = 67108864

READ_BYTES = 65536
SMALL = 65536
HEAD = Struct(">BBHII")


class Channel:
    def __init__(self, fd):
        # A socket dialled by Node is non-blocking, and the flag is shared with whoever inherits it.
        os.set_blocking(fd, True)
        os.set_inheritable(fd, False)
        self.fd = fd
        self.attached = True
        self._rest = b""
        self._lock = RLock()

    def detach(self):
        """In a process forked by the function."""
        self.attached = False

    def receive(self):
        """The next frame: (type, flags, id, extra, payload). Blocks; ends the process when the host is gone."""
        have = self._rest
        while len(have) < FRAME_HEAD:
            have += self._read()
        kind, flags, extra_bytes, number, payload_bytes = HEAD.unpack_from(have)
        if extra_bytes > FRAME_EXTRA or payload_bytes > FRAME_PAYLOAD:
            os._exit(1)
        start = FRAME_HEAD + extra_bytes
        end = start + payload_bytes
        if len(have) > end:
            self._rest = have[end:]
            return kind, flags, number, have[FRAME_HEAD:start], have[start:end]
        self._rest = b""
        if len(have) < end:
            have = self._fill(have, end)
            return kind, flags, number, bytes(have[FRAME_HEAD:start]), have[start:end]
        return kind, flags, number, have[FRAME_HEAD:start], have[start:]

    def waiting(self):
        """True when part of a frame has been read already."""
        return self._rest != b""

    def _read(self):
        try:
            chunk = os.read(self.fd, READ_BYTES)
        except OSError:
            os._exit(1)
        if not chunk:
            os._exit(0)
        return chunk

    def _fill(self, have, end):
        whole = memoryview(bytearray(end))
        at = len(have)
        whole[:at] = have
        while at < end:
            try:
                count = os.readv(self.fd, [whole[at:]])
            except OSError:
                os._exit(1)
            if count == 0:
                os._exit(0)
            at += count
        return whole

    def send(self, kind, flags, number, extra, payload):
        """Writes one frame; `extra` and `payload` are bytes-like. May be called by any thread."""
        if not self.attached:
            return
        size = len(payload)
        head = HEAD.pack(kind, flags, len(extra), number, size) + extra
        with self._lock:
            if size <= SMALL:
                self._write(head + payload)
            else:
                self._write(head)
                self._write(payload)

    def _write(self, data):
        try:
            at = os.write(self.fd, data)
            if at < len(data):
                view = memoryview(data)
                while at < len(data):
                    at += os.write(self.fd, view[at:])
        except OSError:
            os._exit(1)
