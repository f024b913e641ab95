"""The process behind some lanes: `python -m metarl.worker CONNECTION PLACE`, two open files of its parent's.

It builds a SyncLaneEnv from what its parent sends, answers one command after another, and ends with its parent.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from metarl.errors import MetarlError

PLACE = struct.Struct("qq")
"""Lane and step that a worker is at, shared with its parent, who reads it where the worker cannot answer."""


def serve(connection: Connection, place: mmap.mmap) -> None:
    """Answer (command, arguments) with ("done", result) or ("raised", message) until the parent hangs up."""
    env: Any = None
    while True:
        try:
            command, arguments = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        if command == "close":
            if env is not None:
                env.close()
            return
        answer: tuple[str, Any]
        try:
            if command == "build":
                from metarl.sync_lanes import SyncLaneEnv

                sys.path[:] = arguments.pop("path")
                family = cloudpickle.loads(arguments.pop("family"))
                env = SyncLaneEnv(family, **arguments, note=lambda *at: PLACE.pack_into(place, 0, *at))
                result = None
            else:
                result = getattr(env, command)(**arguments)
        except MetarlError as error:
            answer = ("raised", str(error))
        except Exception as error:
            answer = ("raised", traceback.format_exception_only(error)[-1].strip())
        else:
            answer = ("done", result)
        connection.send_bytes(cloudpickle.dumps(answer))


def end_with_parent(parent: int) -> None:
    """End with a parent that was killed, even while an environment does not return."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides what they mean
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    serve(Connection(int(sys.argv[1])), mmap.mmap(int(sys.argv[2]), PLACE.size))
