"""Data files and package metadata inside the function's zip, for importlib.resources and importlib.metadata.

Imported only when a function asks for one of them.
"""
import io
from importlib.metadata import Distribution


class Reader:
    """Data files beside the modules of one package (importlib.resources)."""

    def __init__(self, archive, folder):
        self._archive = archive
        self._folder = folder

    def open_resource(self, name):
        path = f"{self._folder}/{name}"
        if path not in self._archive:
            raise FileNotFoundError(2, "no such file in the function's code", path)
        return io.BytesIO(self._archive.read(path))

    def resource_path(self, name):
        raise FileNotFoundError(2, "the function's code is not on a disk", name)

    def is_resource(self, name):
        return f"{self._folder}/{name}" in self._archive

    def contents(self):
        start = f"{self._folder}/"
        return sorted({name[len(start) :].partition("/")[0] for name in self._archive.names() if name.startswith(start)})


class _Distribution(Distribution):
    def __init__(self, archive, folder):
        self._archive = archive
        self._folder = folder

    def read_text(self, filename):
        path = f"{self._folder}/{filename}"
        return self._archive.read(path).decode() if path in self._archive else None

    def locate_file(self, path):
        raise FileNotFoundError(2, "the function's code is not on a disk", str(path))


def _plain(name):
    return name.lower().replace("-", "_").replace(".", "_")


def distributions(archive, name):
    """The distributions vendored at the root of the zip; all of them when `name` is None."""
    for folder in sorted(archive.folders):
        if folder.endswith(".dist-info") and "/" not in folder:
            if name is None or _plain(folder.partition("-")[0]) == _plain(name):
                yield _Distribution(archive, folder)
