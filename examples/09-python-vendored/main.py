# Packages are vendored: `pip install --target vendor PACKAGE` puts them where deploy finds them. This one is our own.
from pathlib import PurePosixPath

from wordtools import title


def handler(event, context):
    return {"title": title(PurePosixPath(event["path"]).stem)}
