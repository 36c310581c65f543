"""The second argument of a handler.

`call`, `publish` and `kv` block; `acall`, `apublish` and kv's `aget`, `aput`, `adelete` are the same for `await`
(each waits in a thread, at most THREADS at once). All of them may be used by any thread while the call runs.
"""
import json
import threading
import time

from .channel import BODY_LIMIT, FRAME_ANSWER, FRAME_CALL, FRAME_EXTRA, FRAME_REQUEST, LARGE_BODY
from .output import LOG_LINE
from .payload import as_bytes, as_json, to_value

REQUESTS_IN_FLIGHT = 64
THREADS = 32


class PilotError(Exception):
    """A refusal by the platform; `name` (and `code`) is its name in the table of errors."""

    def __init__(self, name, message, details=None):
        super().__init__(message)
        self.name = self.code = self.pilot_name = name
        self.details = details


class Requests:
    """Requests to the host and their answers. One waiting thread reads the channel for all of them."""

    def __init__(self, host):
        self._host = host
        self._state = threading.Condition()
        self._open = set()
        self._answers = {}
        self._last = 0
        self._reading = False
        self._threads = None
        self.running = 0
        """Number of the running call; requests of any other are refused."""
        self._calls = []

    def ask(self, what, payload):
        extra = json.dumps(what).encode()
        if len(extra) > FRAME_EXTRA:
            raise PilotError("BadRequest", f"the name in {what['kind']} is too long")
        most = LARGE_BODY if what["kind"] == "call" else BODY_LIMIT
        if len(payload) > most:
            raise PilotError("PayloadTooLarge", f"{len(payload)} bytes; at most {most} can be sent")
        if not self._host.attached:
            raise PilotError("BadRequest", f"{what['kind']} from a forked process")
        with self._state:
            if what["call"] != self.running:
                raise PilotError("BadRequest", f"{what['kind']} after the call has ended")
            if len(self._open) >= REQUESTS_IN_FLIGHT:
                raise PilotError("Throttled", f"more than {REQUESTS_IN_FLIGHT} requests in flight")
            self._last = self._last % 0xFFFFFFFF + 1
            number = self._last
            self._open.add(number)
        self._host.send(FRAME_REQUEST, 0, number, extra, payload)
        flags, answer = self._wait(number)
        if flags != 1:
            return answer
        try:
            fault = json.loads(bytes(answer))
            name, message = str(fault["name"]), str(fault["message"])
        except (ValueError, KeyError, TypeError):
            raise PilotError("Internal", "an answer of the host could not be read") from None
        raise PilotError(name, message, fault.get("details"))

    def _wait(self, number):
        with self._state:
            while number not in self._answers:
                self._read_or_wait()
            self._open.discard(number)
            return self._answers.pop(number)

    def threads(self):
        """Where awaited requests wait: the loop's own pool is as small as the machine and belongs to the function."""
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor

            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pilot")
        return self._threads

    def abandon(self):
        """The call has ended: requests are refused until the next one begins."""
        self.running = 0

    def next_call(self):
        """The next frame for the main loop: a load or a call."""
        if self._calls:
            return self._calls.pop(0)
        if not self._open:
            return self._host.receive()
        # A thread left over from an earlier call still waits for its answer, and may be the one that reads.
        with self._state:
            while not self._calls:
                self._read_or_wait()
            return self._calls.pop(0)

    def _read_or_wait(self):
        """With the state locked: reads one frame, or waits while another thread does."""
        if self._reading:
            self._state.wait()
            return
        self._reading = True
        self._state.release()
        frame = None
        try:
            frame = self._host.receive()
        finally:
            self._state.acquire()
            self._reading = False
            self._state.notify_all()
        kind, flags, number, _, payload = frame
        if kind == FRAME_CALL:
            self._calls.append(frame)
        elif kind == FRAME_ANSWER and number in self._open:
            self._answers[number] = (flags, payload)


def _encode(value):
    data = as_bytes(value)
    return as_json(value) if data is None else data


async def _in_thread(requests, function, *arguments):
    import asyncio

    return await asyncio.get_running_loop().run_in_executor(requests.threads(), function, *arguments)


class _KeyValue:
    def __init__(self, requests, call):
        self._requests = requests
        self._call = call

    def _ask(self, kind, key, payload=b""):
        return self._requests.ask({"kind": kind, "call": self._call, "key": str(key)}, payload)

    def get(self, key):
        """The value, as an event would be given; None when there is none."""
        try:
            return to_value(self._ask("kv.get", key))
        except PilotError as error:
            if error.name == "NotFound":
                return None
            raise

    def put(self, key, value):
        self._ask("kv.put", key, _encode(value))

    def delete(self, key):
        self._ask("kv.delete", key)

    async def aget(self, key):
        return await _in_thread(self._requests, self.get, key)

    async def aput(self, key, value):
        await _in_thread(self._requests, self.put, key, value)

    async def adelete(self, key):
        await _in_thread(self._requests, self.delete, key)


class _Log:
    def __init__(self, output, call):
        self._output = output
        self._call = call

    def _line(self, level, message, fields, more):
        head = {"level": level, "time": int(time.time() * 1000), "msg": str(message)}
        try:
            text = json.dumps({**head, **(fields or {}), **more, **head}, default=str).encode()
        except Exception as error:
            text = json.dumps({**head, "fields": f"not JSON: {error}"[:256]}).encode()
        if len(text) > LOG_LINE:
            text = json.dumps({**head, "msg": head["msg"][: LOG_LINE // 16], "truncated": True}).encode()
        self._output.line(self._call, text)

    def debug(self, message, fields=None, **more):
        self._line("debug", message, fields, more)

    def info(self, message, fields=None, **more):
        self._line("info", message, fields, more)

    def warn(self, message, fields=None, **more):
        self._line("warn", message, fields, more)

    warning = warn

    def error(self, message, fields=None, **more):
        self._line("error", message, fields, more)


class Context:
    function_name = function_version = account = ""
    memory_limit_in_mb = 0

    def __init__(self, requests, output, call, call_id, deadline):
        self._requests = requests
        self._call = call
        self.call_id = self.aws_request_id = call_id
        self.deadline = deadline
        """When the call is ended, in milliseconds since 1970."""
        self.log = _Log(output, call)
        self.kv = _KeyValue(requests, call)

    def get_remaining_time_in_millis(self):
        return max(0, int(self.deadline - time.time() * 1000))

    def call(self, function, payload=b""):
        """Calls another function of the account; returns its result as an event would be given."""
        return to_value(self._requests.ask({"kind": "call", "call": self._call, "function": str(function)}, _encode(payload)))

    def publish(self, subject, payload=b""):
        """Publishes below the account's own tree; returns when the host has sent it."""
        self._requests.ask({"kind": "publish", "call": self._call, "subject": str(subject)}, _encode(payload))

    async def acall(self, function, payload=b""):
        return await _in_thread(self._requests, self.call, function, payload)

    async def apublish(self, subject, payload=b""):
        await _in_thread(self._requests, self.publish, subject, payload)
