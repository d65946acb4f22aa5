"""What watches over the server: is it alive, is it ready, and its counters."""

from __future__ import annotations

from .. import health
from ..routing import Route
from .parts import OK, plain, text_answer

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    plain("/healthz", health.alive, "Does the process answer", OK, tag="Server", public=True),
    plain(
        "/readyz",
        health.ready,
        "Can requests be answered",
        OK,
        tag="Server",
        description="503 while the server shuts down, or if its database does not answer.",
        public=True,
    ),
    plain(
        "/metrics",
        health.metrics,
        "Counters for Prometheus",
        text_answer("In Prometheus' text format"),
        tag="Server",
        description=(
            "For programs on the server's own machine (not through a proxy), the local administrator, and those whose "
            "role may count users."
        ),
        errors=(403,),
    ),
)
