"""The Python runtime inside a sandbox: `--zygote` forks containers on request, without it the process is the container.

Started as `python3 -I -B -S bootstrap.py [--zygote [--hidden]]` with the host on fd 3. The parts are in pilot_runtime/.
"""
import sys

BARE_MODULES = frozenset(sys.modules)
sys.path.insert(0, __file__.rpartition("/")[0] or ".")
from pilot_runtime import channel, code, container, zygote  # noqa: E402

del sys.path[0]


def main():
    code.bare_modules = BARE_MODULES
    code.clear_environment()
    host = channel.Channel(channel.CHANNEL)
    token = None
    if sys.argv[1:2] == ["--zygote"]:
        host, token = zygote.run(host, "--hidden" in sys.argv)
    sys.argv[1:] = []
    container.run(host, token)


main()
