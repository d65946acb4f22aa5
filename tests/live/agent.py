"""A helper process that is told what to do, one line of JSON at a time."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

AGENTS = Path(__file__).parent / "agents"
START_S = 60
ANSWER_S = 60


class Agent:
    """Runs ``agents/NAME.py``, which gets *given* and says when it is ready.

    Its errors go to *errors*, a file.
    """

    def __init__(self, name: str, errors: Path, **given: Any) -> None:
        self.errors = errors
        env = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORDB_")}
        command = [sys.executable, str(AGENTS / f"{name}.py"), json.dumps(given)]
        with errors.open("ab") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env, text=True
            )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        self._ready = False

    def ready(self) -> None:
        """Wait until it is."""
        if not self._ready:
            assert self._answer(START_S) == "ready"
            self._ready = True

    def tell(self, cmd: str, **arguments: Any) -> None:
        """Tell it to do *cmd*."""
        self.ready()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"cmd": cmd, **arguments}) + "\n")
        self._process.stdin.flush()

    def ask(self, cmd: str, *, patience_s: float = ANSWER_S, **arguments: Any) -> Any:
        """The same, and return what it answers."""
        self.tell(cmd, **arguments)
        return self._answer(patience_s)

    def listen(self, patience_s: float = ANSWER_S) -> Any:
        """Return what it says next by itself."""
        self.ready()
        return self._answer(patience_s)

    def freeze(self) -> None:
        """Stop it, as it is."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without any chance to do something about it."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # there is something in it that was never read
                pass

    def _answer(self, patience_s: float) -> Any:
        try:
            line = self._lines.get(timeout=patience_s)
        except queue.Empty:
            line = ""
        assert line, f"no answer: {self._process.poll()=}\n{self.errors.read_text()[-4000:]}"
        return json.loads(line)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
