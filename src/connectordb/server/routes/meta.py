"""What the server tells of itself: its version, what there is for scripts, and all its calls."""

from __future__ import annotations

from ...wire import API
from .. import health
from ..routing import Answer, Route
from .parts import JSON, plain, text_answer

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    plain(
        f"{API}/meta/version",
        health.version,
        "Version of the server",
        text_answer("As in `0.4.0`"),
        tag="Server",
        public=True,
    ),
    *(
        plain(
            f"{API}/meta/{what}",
            handler,
            summary,
            Answer("What each does, with its arguments and examples, by name", {JSON: {"type": "object"}}),
            tag="Server",
            public=True,
        )
        for what, handler, summary in (
            ("transforms", health.transforms, "The transforms of PipeScript"),
            ("interpolators", health.interpolators, "The interpolators of datasets"),
        )
    ),
    plain(
        f"{API}/openapi.json",
        health.openapi,
        "This description",
        Answer("OpenAPI 3.1", {JSON: {"type": "object"}}),
        tag="Server",
        public=True,
    ),
    plain(
        f"{API}/docs",
        health.static,
        "A page to browse this description",
        Answer("A page", {"text/html": {"type": "string"}}),
        tag="Server",
        public=True,
    ),
    plain(
        f"{API}/docs/{{file}}",
        health.static,
        "What belongs to that page",
        Answer("A file", {"text/html": None, "text/css": None, "text/javascript": None}),
        tag="Server",
        errors=(404,),
        public=True,
    ),
)
