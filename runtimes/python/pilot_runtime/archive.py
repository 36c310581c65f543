"""Reads a zip from memory and imports Python modules from it.

Smaller and quicker to load than zipfile, and unlike zipimport it needs no file. Compiled code (.pyc) that fits this
interpreter is preferred over source; namespace packages, pkgutil.get_data and importlib.metadata work as from a folder.
"""
import sys
import zlib
from marshal import loads
from struct import unpack_from

from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

ROOT = "/function/"
PYC_HEAD = 16
END_SIGNATURE = b"PK\x05\x06"
NATIVE = (".so", ".pyd", ".dylib")


class Archive:
    """The members of a zip. Raises ValueError when the bytes are not a zip of plain or deflated members."""

    def __init__(self, data):
        self._data = data
        self._members = {}
        self.folders = set()
        tail = bytes(data[-65557:])
        at = tail.rfind(END_SIGNATURE)
        if at < 0:
            raise ValueError("the code is not a zip archive")
        count, _, offset = unpack_from("<HII", tail, at + 10)
        for _ in range(count):
            flags, method, packed, size, name, extra, comment, local = unpack_from("<8xHH8xIIHHH8xI", data, offset)
            raw = bytes(data[offset + 46 : offset + 46 + name])
            # The codec of old zips is a module of its own, which plain names do without.
            path = str(raw, "utf-8" if flags & 0x800 or raw.isascii() else "cp437")
            offset += 46 + name + extra + comment
            self._members[path] = (method, packed, size, local)
            for end in range(len(path)):
                if path[end] == "/":
                    self.folders.add(path[:end])

    def names(self):
        return self._members.keys()

    def __contains__(self, path):
        return path in self._members

    def read(self, path):
        """The bytes of a member. Raises KeyError when there is none, ValueError when it is damaged."""
        method, packed, size, local = self._members[path]
        name, extra = unpack_from("<HH", self._data, local + 26)
        start = local + 30 + name + extra
        raw = self._data[start : start + packed]
        if method == 0:
            return bytes(raw)
        if method != 8:
            raise ValueError(f"{path}: unknown compression {method}")
        try:
            data = zlib.decompressobj(-15).decompress(raw, max(size, 1))
        except zlib.error as error:
            raise ValueError(f"{path}: {error}") from None
        if len(data) != size:
            raise ValueError(f"{path}: damaged")
        return data

    def has_native_code(self):
        return any(name.endswith(NATIVE) or ".so." in name for name in self._members)

    def pyc_of(self, source):
        """Where compiled code of a source may be: beside it, or in __pycache__."""
        folder, _, file = source.rpartition("/")
        return f"{source}c", f"{folder + '/' if folder else ''}__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc"


class ArchiveImporter:
    """Finder for sys.meta_path and loader of what it finds."""

    def __init__(self, archive):
        self._archive = archive

    def _source(self, fullname):
        """(member, is a package) of a module, or None. A member may exist as compiled code only."""
        base = fullname.replace(".", "/")
        for path, package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if path in self._archive or any(name in self._archive for name in self._archive.pyc_of(path)):
                return path, package
        return None

    def find_spec(self, fullname, path=None, target=None):
        found = self._source(fullname)
        base = fullname.replace(".", "/")
        if found is None:
            if base not in self._archive.folders:
                return None
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [ROOT + base]
            return spec
        member, package = found
        spec = ModuleSpec(fullname, self, origin=ROOT + member, is_package=package)
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [ROOT + base]
        return spec

    def invalidate_caches(self):
        pass

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, fullname):
        member, _ = self._known(fullname)
        place = ROOT + member
        for compiled in self._archive.pyc_of(member):
            if compiled in self._archive:
                data = self._archive.read(compiled)
                if data[:4] == MAGIC_NUMBER:
                    code = loads(memoryview(data)[PYC_HEAD:])
                    import _imp

                    _imp._fix_co_filename(code, place)
                    return code
        if member not in self._archive:
            raise ImportError(f"{fullname} was compiled for another version of Python", name=fullname)
        return compile(self._archive.read(member), place, "exec", dont_inherit=True)

    def get_source(self, fullname):
        member, _ = self._known(fullname)
        if member not in self._archive:
            return None
        from importlib.util import decode_source

        return decode_source(self._archive.read(member))

    def is_package(self, fullname):
        return self._known(fullname)[1]

    def get_filename(self, fullname):
        return ROOT + self._known(fullname)[0]

    def get_data(self, path):
        member = path[len(ROOT) :] if path.startswith(ROOT) else path
        if member not in self._archive:
            raise FileNotFoundError(2, "no such file in the function's code", path)
        return self._archive.read(member)

    def get_resource_reader(self, fullname):
        from .resources import Reader

        return Reader(self._archive, fullname.replace(".", "/")) if self.is_package(fullname) else None

    def find_distributions(self, context=None):
        from .resources import distributions

        return distributions(self._archive, getattr(context, "name", None))

    def _known(self, fullname):
        found = self._source(fullname)
        if found is None:
            raise ImportError(f"no module named {fullname!r} in the function's code", name=fullname)
        return found
