"""A server for the Logger's tests: real HTTP, the calls that the Logger makes, and the upload rule."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, error: str, msg: str = "refused") -> None:
        self.status = status
        self.body = {"code": status, "msg": msg, "ref": "00000000-0000-4000-8000-000000000000", "error": error}


class StreamState:
    """One stream, and what the server remembers of the uploads to it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = {"schema": "{}", **fields}
        self.points: list[dict[str, Any]] = []
        self.uploads: dict[str, tuple[int, bytes, dict[str, Any]]] = {}

    def upload(
        self, source: str, first: int, last: int, body: bytes, refuse: Callable[[Any], str | None]
    ) -> dict[str, Any]:
        """Store an upload by the rule of `connectordb.store.records.Upload`, and return the report."""
        digest = hashlib.blake2b(body, digest_size=16).digest()
        last_before, digest_before, report = self.uploads.get(source, (0, b"", {}))
        if last == last_before and digest == digest_before:
            return {**report, "repeated": True}
        if first <= last_before:
            raise Refused(409, "upload_conflict", f"numbers {first} to {last} after {last_before}")
        points = json.loads(body)
        verdicts = [refuse(point["d"]) for point in points]
        accepted = [point for point, why in zip(points, verdicts, strict=True) if why is None]
        refused = [{"position": i, "msg": why} for i, why in enumerate(verdicts) if why is not None]
        self.points = sorted([*self.points, *accepted], key=lambda point: point["t"])
        report = {"stored": len(accepted), "refused": refused, "repeated": False}
        self.uploads[source] = (last, digest, report)
        return report

    @property
    def values(self) -> list[Any]:
        """The values, in order of time."""
        return [point["d"] for point in self.points]


class Request(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


class Model:
    """What the server does with a request, without any HTTP."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.device = "alice/dev"
        self.streams: dict[str, StreamState] = {}
        self.requests: list[Request] = []
        self.body_bytes_max = 10_000_000
        self.refuse: Callable[[Any], str | None] = lambda value: None
        self.override: Callable[[Request], tuple[int, bytes] | None] = lambda request: None
        """Answers instead of the server, with status and body."""

    def __getitem__(self, stream: str) -> StreamState:
        return self.streams[stream]

    @property
    def uploads(self) -> list[Request]:
        """The uploads that came, the empty ones included."""
        return [request for request in self.requests if request.method == "PATCH"]

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Carry out a request, one at a time, and return status and body of the answer."""
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        request = Request(method, url.path.removeprefix("/api/v1").strip("/"), query, body)
        with self.lock:
            self.requests.append(request)
            instead = self.override(request)
            if instead is not None:
                return instead
            try:
                answer = self._carry_out(request)
            except Refused as e:
                return e.status, json.dumps(e.body).encode()
        return 200, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()

    def _carry_out(self, request: Request) -> Any:
        if request.query.get("q") == "this":
            return self.device
        found = re.fullmatch(rf"crud/{self.device}/([^/]+)(/data)?", request.path)
        if not found:
            raise Refused(404, "not_found")
        name, data = found.groups()
        if request.method == "POST" and not data:
            if name in self.streams:
                raise Refused(403, "already_exists")
            self.streams[name] = StreamState(json.loads(request.body))
            return {"name": name, **self.streams[name].fields}
        stream = self.streams.get(name)
        if stream is None:
            raise Refused(403 if data else 404, "not_found")
        if request.method == "GET" and not data:
            return {"name": name, **stream.fields}
        if request.method != "PATCH" or not data or request.query.get("verdicts") != "true":
            raise Refused(405, "method_not_allowed")
        if len(request.body) > self.body_bytes_max:
            raise Refused(413, "too_large")
        first, last = int(request.query["first"]), int(request.query["last"])
        return stream.upload(request.query["source"], first, last, request.body, self.refuse)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Lines are cut on purpose."""


class UploadServer(Model):
    """`Model` behind HTTP/1.1 on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        super().__init__()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def _go(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True
                    return
                status, answer = model.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _go

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> UploadServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
