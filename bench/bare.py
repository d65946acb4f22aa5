"""A bare ASGI application on uvicorn, without anything of ours: the floor of all that goes over HTTP and websockets.

Run as a program it prints its port, then serves until it is terminated.
"""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

from .points import Points

__all__ = ["CHUNK_POINTS", "ECHO", "PUBLISH", "SUBSCRIBE", "app"]

CHUNK_POINTS = 1_000

_text = b",".join(Points(CHUNK_POINTS).texts)
_HEADERS = [(b"content-type", b"text/plain")]

ECHO = "/echo"
PUBLISH = "/publish"
"""What comes over such a websocket goes to all of `SUBSCRIBE`."""
SUBSCRIBE = "/subscribe"
_subscribers: dict[Any, None] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer ``ok``; for ``/points/N`` answer so many datapoints of JSON, in chunks."""
    if scope["type"] == "websocket":
        await _websocket(scope["path"], receive, send)
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    _, _, count = scope["path"].partition("/points/")
    if count:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        start = b"["
        for _ in range(int(count) // CHUNK_POINTS):
            await send({"type": "http.response.body", "body": start + _text, "more_body": True})
            start = b","
        await send({"type": "http.response.body", "body": b"]", "more_body": False})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, (b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok", "more_body": False})


async def _websocket(path: str, receive: Any, send: Any) -> None:
    await receive()
    if path == SUBSCRIBE:
        _subscribers[send] = None
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        message = {"type": "websocket.send", "text": event["text"]}
        if path == ECHO:
            await send(message)
        for to_subscriber in _subscribers:
            await to_subscriber(message)
    _subscribers.pop(send, None)


def _main() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    _main()
