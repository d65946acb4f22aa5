"""The description of the interface as OpenAPI 3.1, made from the table of routes and the wire structures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from .. import wire
from ..datapoint import TIME_MAX_S, Datapoint
from ..paths import NAME_LENGTH_MAX
from .request import SAFE_METHODS

if TYPE_CHECKING:
    from .routing import Route

__all__ = ["describe"]

_STRUCTS = (
    wire.User,
    wire.Device,
    wire.Stream,
    wire.UserCreate,
    wire.DeviceCreate,
    wire.StreamCreate,
    wire.Setup,
    wire.SetupState,
    wire.InsertReport,
    wire.DownlinkCreate,
    wire.DownlinkUpdate,
    wire.DownlinkView,
    wire.Correction,
    wire.PointUpdate,
    wire.Changes,
    wire.Change,
    wire.ErrorReply,
    Datapoint,
)
_REF = "#/components/schemas/{name}"
_NAME_PATTERN = "[a-zA-Z][a-zA-Z0-9_-]"
_COMMON_ERRORS = (400, 503)
_IDENTITY_ERRORS = (401, 429)
_WRITE_ERRORS = (507,)
_VARIABLE = re.compile(r"{(\w+)}")
_READ_ONLY = frozenset({"name", "devices", "streams"})
"""What cannot be changed once a thing exists, or has calls of its own."""
_TAGS = ("Datapoints", "Queries", "Corrections", "Downlinks", "Streams", "Devices", "Users", "Session", "Server")
"""In the order of the documentation: what is looked for most comes first."""
_EXAMPLES = {"user": "alice", "device": "phone", "stream": "steps", "feed": "steps", "downlink": 41, "correction": 7}

_INTRODUCTION = """\
ConnectorDB keeps what your devices measure. A **user** (`alice`) has **devices** (`alice/phone`), a device has
**streams** (`alice/phone/steps`), and a stream is a sequence of **datapoints** `{"t": seconds since 1970, "d": data}`.

Log in with user name and password, or with an empty user name and a device's API key. An error has the form
`{"code", "msg", "ref", "error"}`; `ref` also stands in the server's log. One slash at the end of a path makes no
difference, and HEAD is understood wherever GET is.

What is written can be followed as it comes: by server-sent events (`live`), or on the websocket `/api/v1/websocket`,
which also takes inserts.

Transforms, in queries and wherever datapoints are read, are written in PipeScript: `if $ > 5 | count`. What there is
to write them with, `meta/transforms` tells.
"""


@lru_cache(maxsize=4)
def describe(routes: tuple[Route, ...], version: str) -> bytes:
    """Return the description of *routes* as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    routes = tuple(route for route in routes if route.described)
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "ConnectorDB",
            "version": version,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in _TAGS],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {str(status): _error(status) for status in _error_statuses(routes)},
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "User name or e-mail address with the password; or an empty name with an API key.",
                },
                "apikey": {"type": "apiKey", "in": "query", "name": "apikey", "description": "A device's API key."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "connectordb-session",
                    "description": "From `/api/v1/login`; counts in requests from the server's own pages only.",
                },
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(route: Route) -> dict[str, Any]:
    statuses = {*_COMMON_ERRORS, *route.errors, *(() if route.public else _IDENTITY_ERRORS)}
    if _writes(route):
        statuses.update(_WRITE_ERRORS)
    responses: dict[str, Any] = {}
    if route.answer.types:
        types = {kind: {"schema": _refs(schema)} if schema else {} for kind, schema in route.answer.types.items()}
        responses["200"] = {"description": route.answer.description, "content": types}
    else:
        responses["302"] = {
            "description": "See the header",
            "headers": {"Location": {"schema": {"type": "string"}, "required": True}},
        }
    responses.update({str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)})
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{_identifier(route.path)}",
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [
            *(_path_parameter(name) for name in _VARIABLE.findall(route.path)),
            *(
                {
                    "name": param.name,
                    "in": param.place,
                    "required": param.required,
                    "description": param.description,
                    "schema": param.schema,
                }
                for param in route.params
                if param.described
            ),
        ],
        "responses": responses,
        "security": [] if route.public else [{}, {"basic": []}, {"apikey": []}, {"session": []}],
    }
    if route.description:
        operation["description"] = route.description
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "description": route.body.description,
            "content": {
                "application/json": {"schema": _refs(route.body.schema), "example": route.body.example},
                **{kind: {} for kind in route.body.others},
            },
        }
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "string",
        "pattern": f"^{_NAME_PATTERN}{{0,{NAME_LENGTH_MAX - 1}}}$",
    }
    description = f"Name of the {name}"
    if name == "feed":
        schema["pattern"] = f"^{_NAME_PATTERN}{{0,{NAME_LENGTH_MAX - 1}}}([.]atom)?$"
        description = "Name of the stream; `.atom` may follow"
    elif name == "downlink":
        schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
        description = "Id of the downlink"
    elif name == "correction":
        schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 2}
        description = "Id of the correction"
    elif name == "file":
        schema = {"type": "string", "enum": ["docs.html", "docs.css", "docs.js"]}
        description = "Name of the file"
    parameter = {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    if name in _EXAMPLES:
        parameter["example"] = _EXAMPLES[name]
    return parameter


def _schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    schemas: dict[str, Any] = dict(components)
    for kind in ("User", "Device", "Stream"):
        created = schemas[f"{kind}Create"]
        fields = {
            name: {"type": next(kind for kind in ("boolean", "number", "string") if kind in str(schema))}
            for name, schema in created["properties"].items()
            if name not in _READ_ONLY
        }
        schemas[f"{kind}Update"] = {
            "title": f"{kind}Update",
            "description": f"The fields of a {kind.lower()} to change.",
            "type": "object",
            "properties": fields,
            "additionalProperties": False,
        }
    schemas["Datapoint"]["properties"]["t"].update(minimum=0, exclusiveMaximum=TIME_MAX_S)
    return schemas


def _refs(schema: Any) -> Any:
    """*schema* with references in the place of wire structures."""
    if isinstance(schema, type):
        return {"$ref": _REF.format(name=schema.__name__)}
    if isinstance(schema, Mapping):
        return {key: _refs(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_refs(value) for value in schema]
    return schema


def _writes(route: Route) -> bool:
    return route.method not in SAFE_METHODS and route.tag != "Queries"


def _error_statuses(routes: Iterable[Route]) -> list[int]:
    common = (*_COMMON_ERRORS, *_IDENTITY_ERRORS, *_WRITE_ERRORS)
    return sorted({*common, *(status for route in routes for status in route.errors)})


def _error(status: int) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": {"$ref": _REF.format(name="ErrorReply")}}},
    }


def _identifier(path: str) -> str:
    return "_" + (re.sub(r"\W+", "_", path.removeprefix(f"{wire.API}/")).strip("_") or "home")
