"""The pages of the web app, and the files that they are made of."""

from __future__ import annotations

from .. import webapp
from ..routing import Answer, Route
from .parts import plain

__all__ = ["ROUTES"]

_PAGE = Answer("A file", {})

ROUTES: tuple[Route, ...] = (
    *(
        plain(path, webapp.page, "A page of the web app", _PAGE, tag="Server", public=True, described=False, page=True)
        for path in webapp.PAGES
    ),
    plain("/assets/{file}", webapp.asset, "A part of it", _PAGE, tag="Server", public=True, described=False, page=True),
    *(
        plain(
            f"/{name}", webapp.root_file, "A part of it", _PAGE, tag="Server", public=True, described=False, page=True
        )
        for name in webapp.FILES
    ),
)
