"""A blank interpreter that forks containers. It never loads a function's code.

Z1  A fork begins with nothing but imported library modules, and forgets the zygote's channel before it says `ready`.
Z2  What is imported only to make later forks quicker is imported one module at a time while no frame waits.
"""
import gc
import json
import os

from .channel import CHANNEL, FRAME_FORK, FRAME_LOG, LOG_STDERR, Channel
from .ready import say_ready

#: Modules that most functions import, or that this runtime needs for errors and async handlers.
WARM = ("traceback", "linecache", "datetime", "logging", "concurrent.futures", "selectors", "socket", "asyncio", "base64", "hashlib", "urllib.parse", "random", "uuid")


def _warm_up(host):
    """Imports WARM until a frame arrives. Generator of nothing: one step per module."""
    import select

    poll = select.poll()
    poll.register(host.fd, select.POLLIN)
    for name in WARM:
        if host.waiting() or poll.poll(0):
            yield
        __import__(name)


def _fork(order):
    """In the child: its own channel. In the zygote: None."""
    gc.freeze()
    if os.fork() != 0:
        return None
    import _signal
    from _socket import AF_UNIX, SOCK_STREAM, socket

    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    gc.enable()
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect(order["socket"])
    except OSError:
        os._exit(1)
    fd = connection.detach()
    os.dup2(fd, CHANNEL, inheritable=False)
    os.close(fd)
    return Channel(CHANNEL)


def run(host):
    """Serves fork orders for ever; returns (channel, token) in each child."""
    import _signal

    # The kernel reaps: a zygote has nothing to say about a child that ended, its socket does.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    gc.disable()
    say_ready(host, None)
    warming = _warm_up(host)
    while True:
        next(warming, None)
        kind, _, _, extra, _ = host.receive()
        if kind != FRAME_FORK:
            continue
        try:
            order = json.loads(extra)
            child = _fork(order)
        except (OSError, ValueError, KeyError) as error:
            host.send(FRAME_LOG, LOG_STDERR, 0, b"", f"fork failed: {error}\n".encode())
            continue
        if child is not None:
            return child, order["token"]
