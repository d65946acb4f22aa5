"""Routes: what a path and a method lead to, and what is to be known about that.

One table serves all: finding the handler, the methods of a 405, strict query parameters, the label of a metric and
the OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from ..errors import Invalid, MethodNotAllowed, NotFound
from .reply import Reply
from .request import Request
from .state import State

__all__ = ["Answer", "Body", "Found", "Handler", "Param", "Route", "Router"]

Handler: TypeAlias = Callable[[State, Request], Awaitable[Reply]]


class Param(NamedTuple):
    """A parameter in the query or in a header.

    Attributes:
        schema: JSON Schema of its value.
        place: ``query`` or ``header``.
        required: The call needs it.
        described: Whether to show it in the documentation.
    """

    name: str
    schema: dict[str, Any]
    description: str
    place: str = "query"
    required: bool = False
    described: bool = True


class Body(NamedTuple):
    """The body of a request.

    Attributes:
        schema: A wire structure, or a JSON Schema.
        description: What to know beyond that.
        example: A body that works.
        others: Content types that it may have besides JSON.
    """

    schema: Any
    description: str
    example: Any
    others: tuple[str, ...] = ()


class Answer(NamedTuple):
    """What a 200 holds.

    Attributes:
        description: What it is.
        types: For each content type a wire structure or a JSON Schema; ``None``: there is nothing to say of it.
    """

    description: str
    types: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Route:
    """One call.

    Attributes:
        method: HTTP method. HEAD comes with GET.
        path: With ``{name}`` for the variable parts.
        handler: Answers it.
        tag: Group in the documentation.
        summary: In a few words.
        description: What to know beyond that.
        params: Query parameters and headers; no other query parameters are taken, but for ``apikey``.
        body: What it takes.
        answer: What it gives.
        errors: Further statuses of errors, besides those that every call may have.
        public: It is the same for everybody: credentials are not looked at.
        described: Whether to show it in the documentation.
        page: It is a page of the web app, which reads the query parameters by itself: any are taken.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    description: str = ""
    params: tuple[Param, ...] = ()
    body: Body | None = None
    answer: Answer
    errors: tuple[int, ...] = ()
    public: bool = False
    described: bool = True
    page: bool = False
    query_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = {param.name for param in self.params if param.place == "query"}
        object.__setattr__(self, "query_names", frozenset(names | {"apikey"}))


class _Node:
    """One step of a path."""

    __slots__ = ("literals", "routes", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.routes: dict[str, Route] = {}


class Found(NamedTuple):
    """Where a path leads to: the routes by method, and the variable parts of the path."""

    routes: dict[str, Route]
    args: tuple[str, ...]

    @property
    def methods(self) -> list[str]:
        """The methods that can be used."""
        return sorted({*self.routes, "OPTIONS"} | ({"HEAD"} if "GET" in self.routes else set()))

    def route(self, method: str) -> Route:
        """The route for *method*.

        Raises:
            MethodNotAllowed: there is none; the details list those that there are.
        """
        route = self.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = self.methods
            raise MethodNotAllowed(f"{method[:20]} cannot be used here: use {', '.join(allowed)}", allow=allowed)
        return route


class Router:
    """Finds the route of a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for step in route.path.strip("/").split("/") if route.path != "/" else ():
                if step.startswith("{"):
                    node.variable = node.variable or _Node()
                    node = node.variable
                else:
                    node = node.literals.setdefault(step, _Node())
            node.routes[route.method] = route

    def find(self, raw_path: bytes) -> Found:
        """Return where the path leads to; one slash at its end makes no difference.

        Args:
            raw_path: As it stands in the URL, percent-encoded: it is split before it is decoded, so that ``%2F`` is
                a part of a name (of which it makes a bad one).

        Raises:
            NotFound: nowhere.
            Invalid: a part of it is not UTF-8.
        """
        args: list[str] = []
        node = self._root
        path = raw_path.decode("latin-1")
        for step in path.removesuffix("/").split("/")[1:]:
            child = node.literals.get(step)
            if child is None:
                child = node.variable
                if child is None or not step:
                    raise _nowhere(path)
                args.append(_decode(step))
            node = child
        if not node.routes:
            raise _nowhere(path)
        return Found(node.routes, tuple(args))


def _decode(step: str) -> str:
    if "%" not in step:
        return step
    try:
        return unquote_to_bytes(step).decode()
    except UnicodeDecodeError:
        raise Invalid(f"a part of the path is not percent-encoded UTF-8: {step[:60]!a}") from None


def _nowhere(path: str) -> NotFound:
    return NotFound(f"there is nothing at {path[:100]!a}: /api/v1/docs shows all that there is")
