"""The first frame of a container or zygote."""
import json
import os
import sys

from .channel import FRAME_READY


def say_ready(host, token):
    said = {"runtime": "python %d.%d.%d" % sys.version_info[:3], "pid": os.getpid()}
    if token is not None:
        said["token"] = token
    host.send(FRAME_READY, 0, 0, json.dumps(said).encode(), b"")
