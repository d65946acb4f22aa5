"""A device that does what it is asked, and notes that in a file before it answers.

``how``: what the callback does: ``act`` acknowledges; ``refuse``, ``ignore``; ``points`` answers with datapoints;
``wait`` says that it has begun, and waits to be told to go on before it acknowledges.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from _agent import commands, connect, given, say


def main() -> None:
    """Do what the test says."""
    db = connect()
    stream = db(given["path"])
    go_on = threading.Event()
    pause_s = given.get("pause_s", 0.0)

    def act(path: str, data: Any) -> Any:
        for point in data:
            with open(given["file"], "a") as file:  # one write, at the end: so processes can share it
                file.write(f"{os.getpid()} {point['d']}\n")
        how = given.get("how", "act")
        if how == "wait":
            say({"begun": data[0]["d"]})
            go_on.wait()
        if pause_s:
            time.sleep(pause_s)
        if how == "points":
            return [{"t": time.time(), "d": [point["d"] for point in data]}]
        if how == "fail":
            raise RuntimeError("it does not move")
        return {"act": True, "wait": True, "refuse": False, "ignore": None}[how]

    stream.subscribe(act, downlink=True)
    for cmd, _ in commands():
        if cmd == "go on":
            go_on.set()
        elif cmd == "close":
            db.close()
            say([thread.name for thread in threading.enumerate() if thread.name.startswith("connectordb")])
            return


if __name__ == "__main__":
    main()
