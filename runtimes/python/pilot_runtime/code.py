"""Turns a `load` frame into a handler: sets the environment, makes the zip importable, imports the module of the handler."""
import json
import os
import sys
from importlib import import_module
from importlib.util import module_from_spec

from .archive import Archive, ArchiveImporter

BASIC = {"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC"}
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
MANIFEST = "pilot.json"
#: A zip of one module, r.py: "def handler(event, context): return event".
REHEARSAL = bytes.fromhex("504b030414000000080000002100353834e4290000002a00000004000000722e70794b494d53c848cc4bc9492dd2482d4bcd2bd15148cecf2b49ad28d1b452284a2d292dca53008b730100504b0102140314000000080000002100353834e4290000002a000000040000000000000000000000800100000000722e7079504b05060000000001000100320000004b0000000000")
bare_modules = frozenset()
"""Names that were in sys.modules before anything of ours was imported."""


class HandlerNotFound(Exception):
    pass


def clear_environment():
    """Leaves nothing of the environment that the process was started with but PATH."""
    path = os.environ.get("PATH") or DEFAULT_PATH
    os.environ.clear()
    os.environ.update(BASIC, PATH=path)


def _set_environment(load):
    # One by one: os.environ.update asks abstract base classes what it was given.
    environ = os.environ
    environ["PILOT_ACCOUNT"] = load["account"]
    environ["PILOT_FUNCTION"] = load["function"]
    environ["PILOT_VERSION"] = str(load["version"])
    environ["PILOT_MEMORY_MB"] = str(load["memoryMb"])
    for name, value in load["environment"].items():
        environ[name] = value
    if "TZ" in load["environment"]:
        import time

        time.tzset()


def _split(archive, text):
    """(module, function) of a handler text; a bare function is in the main module that the manifest names."""
    module, _, function = text.rpartition(".")
    if module:
        return module, function
    try:
        return str(json.loads(archive.read(MANIFEST))["main"]), function
    except (KeyError, ValueError, TypeError):
        raise HandlerNotFound(f'the code has no {MANIFEST} that names a main module; name the handler as "module.{function}"') from None


def _unpack(archive):
    """Native code can only be loaded from files: writes the whole archive to the scratch directory."""
    import tempfile

    root = tempfile.mkdtemp(prefix="function-")
    inside = os.path.realpath(root) + os.sep
    for name in archive.names():
        if name.endswith("/"):
            continue
        place = os.path.realpath(os.path.join(root, name))
        if not place.startswith(inside):
            raise ValueError(f"{name}: a path outside of the archive")
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(archive.read(name))
        if name.endswith(".py"):
            beside, cached = archive.pyc_of(name)
            if beside in archive and cached not in archive:
                cached = os.path.join(root, cached)
                os.makedirs(os.path.dirname(cached), exist_ok=True)
                with open(cached, "wb") as file:
                    file.write(archive.read(beside))
    sys.path.insert(0, root)


def _make_importable(archive):
    # The function's own modules come before the library's, as in a plain interpreter: what this runtime or the
    # zygote imported meanwhile must not stand in for them. What imported those keeps its reference.
    for name in {name.partition("/")[0].partition(".")[0] for name in archive.names()}:
        if name in sys.modules and name not in bare_modules and not name.startswith("pilot_runtime"):
            for loaded in [other for other in sys.modules if other == name or other.startswith(name + ".")]:
                del sys.modules[loaded]
    if archive.has_native_code():
        _unpack(archive)
        return
    finder = next((at for at, one in enumerate(sys.meta_path) if getattr(one, "__name__", "") == "PathFinder"), len(sys.meta_path))
    sys.meta_path.insert(finder, ArchiveImporter(archive))


def rehearse():
    """Does the parts of a load once, in a fork that waits: the memory it shares with its zygote is copied now, not in the load."""
    order = json.loads('{"account":"","function":"","version":0,"memoryMb":0,"environment":{}}')
    before = dict(os.environ)
    _set_environment(order)
    importer = ArchiveImporter(Archive(memoryview(REHEARSAL)))
    spec = importer.find_spec("r")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    return module.handler


def load(order, payload):
    """The handler that a `load` frame names. Raises what its module raises, HandlerNotFound, or ValueError for a bad zip."""
    _set_environment(order)
    if order.get("file") is not None:
        with open(order["file"], "rb") as file:
            data = file.read()
    else:
        data = payload[order["cachedBytes"] :]
    archive = Archive(memoryview(data))
    _make_importable(archive)
    module_name, function = _split(archive, order["handler"])
    module = import_module(module_name)
    handler = getattr(module, function, None)
    if callable(handler):
        return handler
    own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module_name]
    what = "is not a function" if hasattr(module, function) else "does not exist"
    there = f"the module has: {', '.join(own[:50])}" if own else "the module has no functions"
    raise HandlerNotFound(f'"{function}" {what} in module "{module_name}"; {there}')
