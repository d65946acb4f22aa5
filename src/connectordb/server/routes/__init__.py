"""The table of all calls, put together from one for each kind.

::

    parts          what several of them have in common
    metadata       users, devices and streams
    datapoints     insert and read
    corrections    delete, change, undo
    queries        several streams at once
    downlinks      what a device is to do
    subscriptions  what is written, as it comes
    sessions       cookies, and the first user
    meta           what the server tells of itself
    webapp         pages and their files
    health         for what watches over the server
"""

from __future__ import annotations

from ..routing import Route
from . import (
    corrections,
    datapoints,
    downlinks,
    health,
    meta,
    metadata,
    queries,
    sessions,
    subscriptions,
    webapp,
)

__all__ = ["ROUTES"]

# In the order in which the OpenAPI description has them; where a path leads does not depend on it.
ROUTES: tuple[Route, ...] = (
    *metadata.ROUTES,
    *datapoints.ROUTES,
    *corrections.ROUTES,
    *queries.ROUTES,
    *downlinks.ROUTES,
    *subscriptions.ROUTES,
    *sessions.ROUTES,
    *meta.ROUTES,
    *webapp.ROUTES,
    *health.ROUTES,
)
