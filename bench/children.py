"""Starting and ending other processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import psutil

from .exchange import Connection, basic, encode_request

__all__ = ["BareServer", "Server", "Serving", "Task", "run_tasks", "size_on_disk"]

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 60.0
_POLL_S = 0.001
_DISK_BLOCK = 512
_CONNECTORDB = [sys.executable, "-m", "connectordb"]
_USER = "bench"
_PASSWORD = "benchmark"


T = TypeVar("T")
_Result = TypeVar("_Result", covariant=True)


class Task(Protocol[_Result]):
    """What a worker does, as `Load` and the floors do; it and its result can be pickled."""

    def __call__(self, ready: Callable[[], None]) -> _Result: ...


def run_tasks(*tasks: Task[T]) -> list[T]:
    """Run *tasks*, each in a process of its own, all beginning at the same time."""
    children = [_spawn("bench.worker", stdin=subprocess.PIPE) for _ in tasks]
    try:
        for child, task in zip(children, tasks, strict=True):
            assert child.stdin is not None
            pickle.dump(task, child.stdin)
            child.stdin.flush()
        for child in children:
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                raise RuntimeError("a worker failed before it began; see its error above")
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"go\n")
            child.stdin.flush()
        results: list[T] = []
        for child in children:
            assert child.stdout is not None
            try:
                results.append(pickle.load(child.stdout))
            except EOFError:
                raise RuntimeError("a worker failed; see its error above") from None
        return results
    finally:
        for child in children:
            _end(child)


class Serving:
    """A server process, until the end of the ``with`` block.

    Attributes:
        host, port: Where it listens.
        start_s: Seconds from the start of the process to its first answer.
    """

    host = "127.0.0.1"
    port = 0
    start_s = 0.0
    _process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the process, and wait until it has ended."""
        _end(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def memory_mb(self) -> float:
        """Resident memory of the process and its children, in 10^6 bytes."""
        root = psutil.Process(self._process.pid)
        return sum(process.memory_info().rss for process in (root, *root.children(recursive=True))) / 1e6

    @property
    def pid(self) -> int:
        """Of the server process."""
        return self._process.pid

    def ask(self, method: str, target: str, login: str, body: bytes | None = None) -> bytes:
        """Send one request and return the body of the answer."""
        return self.exchange(encode_request(method, target, login, body))

    def exchange(self, request: bytes) -> bytes:
        """The same with a request that is encoded already."""
        connection = Connection(self.host, self.port)
        try:
            return connection.exchange(request).body()
        finally:
            connection.close()


class BareServer(Serving):
    """The application of the module `bare`."""

    login = basic("", "00000000-0000-4000-8000-000000000000")
    """As long as that of a device."""

    def __init__(self) -> None:
        begun = time.perf_counter()
        self._process = _spawn("bench.bare")
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.ask("GET", "/", self.login)
        self.start_s = time.perf_counter() - begun


class Server(Serving):
    """ConnectorDB on a folder, with the settings that are its defaults.

    Attributes:
        path: The folder; it is created if it is not there.
    """

    login = basic(_USER, _PASSWORD)
    whoami = f"{_USER}/user"

    def __init__(self, path: Path, settings: Mapping[str, str] | None = None) -> None:
        """Start it; *settings* are variables of its environment."""
        if not path.exists():
            _connectordb("create", str(path), "--user", f"{_USER}:{_PASSWORD}")
        self.path = path
        self._log = path / "bench.log"
        with self._log.open("wb") as log:
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                [*_CONNECTORDB, "run", str(path), "--port", "0"],
                cwd=ROOT,
                env={**os.environ, **(settings or {})},
                stdout=log,
                stderr=log,
            )
        try:
            self.port = self._wait_for_port(path / "connectordb.pid")
            self.ask("GET", "/readyz", self.login)
        except BaseException:
            _end(self._process)
            raise
        self.start_s = time.perf_counter() - begun

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.host}:{self.port}"

    def settled_bytes(self) -> int:
        """Stop, have the rest sealed and the space given back, and return what all files take, but for the log."""
        self.stop()
        self._log.unlink()
        _connectordb("compact", str(self.path))
        return size_on_disk(self.path)

    def create_device(self, name: str, *streams: str) -> str:
        """Create a device with streams of numbers, and return its API key."""
        numbers = {"schema": '{"type": "number"}'}
        wanted = {"streams": dict.fromkeys(streams, numbers)}
        target = f"/api/v1/crud/{_USER}/{name}"
        device = json.loads(self.ask("POST", target, self.login, json.dumps(wanted).encode()))
        return str(device["apikey"])

    def data_target(self, device: str, stream: str) -> str:
        """Return the path of the datapoints of a stream."""
        return f"/api/v1/crud/{_USER}/{device}/{stream}/data"

    def read(self, device: str, stream: str) -> bytes:
        """Return all datapoints of a stream as JSON."""
        return self.ask("GET", f"{self.data_target(device, stream)}?i1=0", self.login)

    def _wait_for_port(self, path: Path) -> int:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                return int(json.loads(path.read_bytes())["port"])
            except (OSError, ValueError):
                time.sleep(_POLL_S)
        raise RuntimeError(f"the server did not start:\n{self._log.read_text()[-3000:]}")


def size_on_disk(folder: Path) -> int:
    """Return what all files below *folder* take, in bytes, without the holes in them; some may go away meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        try:
            stat = file.stat()
        except FileNotFoundError:
            continue
        if S_ISREG(stat.st_mode):
            total += min(stat.st_size, stat.st_blocks * _DISK_BLOCK)
    return total


def _connectordb(*arguments: str) -> None:
    done = subprocess.run([*_CONNECTORDB, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"connectordb {' '.join(arguments)} failed: {done.stdout}{done.stderr}")


def _spawn(module: str, **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, **streams)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and wait for it."""
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
