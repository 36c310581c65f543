"""A blank interpreter that forks containers and tells how they end. It never loads a function's code.

Z1  A fork begins with nothing but imported library modules, and forgets the zygote's channel before it says `ready`.
Z2  What is imported only to make later forks quicker is imported one module at a time while no frame waits.
Z3  Each fork order is answered by one `forkEnded`, when the fork is over or could not be made.
Z4  In a box of its own (`--hidden`) no fork can look into the zygote or another fork: nobody tells another's end.
"""
import _signal
import gc
import json
import os
import select

from .channel import CHANNEL, FRAME_FORK, FRAME_FORK_ENDED, Channel
from .ready import say_ready

#: Modules that most functions import, or that this runtime needs for errors and async handlers.
WARM = ("traceback", "linecache", "datetime", "logging", "concurrent.futures", "selectors", "socket", "asyncio", "base64", "hashlib", "urllib.parse", "random", "uuid")


PR_SET_DUMPABLE = 4


def hide():
    """Closes memory and descriptors of this process and its forks to other processes of the same user."""
    try:
        import _ctypes

        _ctypes.call_function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl"), (PR_SET_DUMPABLE, 0, 0, 0, 0))
    except Exception:
        # A Python without it, or no Linux: forks of one account are then as near to each other as threads.
        pass


class Zygote:
    def __init__(self, host):
        self._host = host
        #: Process ids of forks, and the numbers of the orders that made them. Others' children may be ours (clone
        #: with CLONE_PARENT): those are reaped and not spoken of.
        self._numbers = {}
        self._wake, self._alarm = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._alarm, False)
        # A handler that does nothing: that it is one makes the interpreter write to the alarm.
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(host.fd, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def serve(self):
        """Serves fork orders for ever; returns (channel, token) in each child."""
        modules = iter(WARM)
        module = next(modules, None)
        while True:
            ready = [] if self._host.waiting() else [fd for fd, _ in self._poll.poll(None if module is None else 0)]
            if self._wake in ready:
                self._reap()
            if self._host.waiting() or self._host.fd in ready:
                child = self._receive()
                if child is not None:
                    return child
            elif module is not None and not ready:
                __import__(module)
                module = next(modules, None)

    def _receive(self):
        kind, _, number, extra, _ = self._host.receive()
        if kind != FRAME_FORK:
            return None
        try:
            order = json.loads(extra)
            path, token = order["socket"], order["token"]
            gc.freeze()
            pid = os.fork()
        except (OSError, ValueError, KeyError):
            self._tell(number, None, None)
            return None
        if pid == 0:
            return self._begin(path), token
        self._numbers[pid] = number
        return None

    def _begin(self, path):
        """In the child: leaves everything of the zygote and dials a channel of its own."""
        from _socket import AF_UNIX, SOCK_STREAM, socket

        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        os.close(self._wake)
        os.close(self._alarm)
        gc.enable()
        connection = socket(AF_UNIX, SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError:
            os._exit(1)
        fd = connection.detach()
        os.dup2(fd, CHANNEL, inheritable=False)
        os.close(fd)
        return Channel(CHANNEL)

    def _reap(self):
        try:
            os.read(self._wake, 4096)
        except OSError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except OSError:
                return
            if pid == 0:
                return
            number = self._numbers.pop(pid, None)
            if number is not None:
                signalled = os.WIFSIGNALED(status)
                self._tell(number, None if signalled else os.WEXITSTATUS(status), os.WTERMSIG(status) if signalled else None)

    def _tell(self, number, code, signal):
        self._host.send(FRAME_FORK_ENDED, 0, number, json.dumps({"code": code, "signal": signal}).encode(), b"")


def run(host, hidden):
    """Serves fork orders for ever; returns (channel, token) in each child."""
    gc.disable()
    zygote = Zygote(host)
    say_ready(host, None)
    if hidden:
        hide()
    return zygote.serve()
