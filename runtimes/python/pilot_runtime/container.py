"""Loads one function and runs its calls, one at a time, for the host on the channel.

B1  Calls run in order and never before the code is loaded.
B2  A call gets exactly one `result` or `failed`, after all of its log frames.
B3  What nobody caught outside of a call ends the process with code 1; sys.exit ends it with its own code.
B4  The event loop of async handlers is kept between calls but stands still: leftover tasks go on in the next call.
"""
import json
import os
import select
import sys
import time
from struct import unpack_from

from . import code
from .channel import FRAME_CALL, FRAME_FAILED, FRAME_LOAD, FRAME_LOAD_FAILED, FRAME_LOADED, FRAME_RESULT, LARGE_BODY
from .context import Context, Requests
from .output import Output, install
from .payload import as_bytes, as_json, to_value
from .ready import say_ready
from .thrown import describe, encode

HANDLER_ERROR = 0
BAD_RESULT = 1
JSON_RESULT = 1


class Container:
    def __init__(self, host):
        self._host = host
        self._output = Output(host)
        self._requests = Requests(host)
        self._handler = None
        self._broken = None
        self._loop = None
        install(self._output)
        os.register_at_fork(after_in_child=host.detach)

    def rehearse(self):
        """While nobody has asked for anything: what the first load and call would otherwise pay for."""
        if self._host.waiting() or select.select([self._host.fd], [], [], 0)[0]:
            return
        handler = code.rehearse()
        context = Context(self._requests, self._output, 0, "", 0)
        as_json(handler(to_value(b'{"a":1}'), context))

    def serve(self):
        early = []
        while True:
            frame = self._requests.next_call()
            kind, _, number, extra, payload = frame
            # Frees the frame's buffer as soon as its parts are.
            del frame
            if kind == FRAME_CALL:
                if self._handler is not None:
                    self._call(number, extra, payload)
                elif self._broken is not None:
                    self._fail(number, HANDLER_ERROR, self._broken)
                elif len(early) < 64:
                    early.append((number, extra, payload))
            elif kind == FRAME_LOAD and self._handler is None and self._broken is None:
                self._load(extra, payload)
                for number, extra, payload in early:
                    if self._handler is not None:
                        self._call(number, extra, payload)
                    else:
                        self._fail(number, HANDLER_ERROR, self._broken)
                early.clear()
            del extra, payload

    def _load(self, extra, payload):
        start = time.perf_counter()
        try:
            order = json.loads(extra)
            Context.function_name = order["function"]
            Context.function_version = str(order["version"])
            Context.account = order["account"]
            Context.memory_limit_in_mb = order["memoryMb"]
            self._handler = code.load(order, payload)
        except SystemExit as error:
            self._exit(error)
        except BaseException as error:
            self._broken = describe(error)
            self._end()
            self._host.send(FRAME_LOAD_FAILED, 0, 0, encode(self._broken), b"")
            return
        self._end()
        took = round((time.perf_counter() - start) * 1000, 3)
        self._host.send(FRAME_LOADED, 0, 0, b'{"loadMs":%r}' % took, b"")

    def _call(self, number, extra, payload):
        (deadline,) = unpack_from(">d", extra)
        self._output.switch_to(number)
        self._requests.running = number
        try:
            event = to_value(payload)
            del payload
            value = self._handler(event, Context(self._requests, self._output, number, extra[8:].decode("latin-1"), deadline))
            if hasattr(type(value), "__await__"):
                value = self._await(value)
        except SystemExit as error:
            self._exit(error)
        except BaseException as error:
            self._fail(number, HANDLER_ERROR, describe(error))
        else:
            self._succeed(number, value)

    def _await(self, awaitable):
        import asyncio

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)

        async def wait():
            return await awaitable

        return self._loop.run_until_complete(awaitable if asyncio.iscoroutine(awaitable) else wait())

    def _succeed(self, number, value):
        try:
            data = as_bytes(value)
            flags = 0
            if data is None:
                data = as_json(value)
                flags = JSON_RESULT
        except BaseException as error:
            text = describe(error)["message"]
            self._fail(number, BAD_RESULT, {"type": "BadResult", "message": f"the result cannot be sent: {text}"})
            return
        if len(data) > LARGE_BODY:
            message = f"the result has {len(data)} bytes; at most {LARGE_BODY} can be sent"
            self._fail(number, BAD_RESULT, {"type": "ResultTooLarge", "message": message})
            return
        self._end()
        self._host.send(FRAME_RESULT, flags, number, b"", data)

    def _fail(self, number, flags, shown):
        self._end()
        self._host.send(FRAME_FAILED, flags, number, encode(shown), b"")

    def _end(self):
        """The end of a call, or of loading: what comes now belongs to no call."""
        if not self._host.attached:
            # A child that the function forked has come back out of the handler: it has no host.
            os._exit(0)
        self._requests.abandon()
        self._output.switch_to(0)

    def _exit(self, error):
        status = error.code
        if status is not None and not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
        self._output.flush()
        os._exit((status or 0) & 0xFF)

    def die(self, error):
        shown = describe(error)
        print(shown.get("stack") or f"{shown['type']}: {shown['message']}", file=sys.stderr)
        self._output.flush()
        os._exit(1)


def run(host, token):
    """Never returns."""
    container = Container(host)
    say_ready(host, token)
    if token is not None:
        container.rehearse()
    try:
        container.serve()
    except SystemExit as error:
        container._exit(error)
    except BaseException as error:
        container.die(error)
