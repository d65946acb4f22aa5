"""The settings of a database: their defaults, bounds and explanations, and where each value comes from.

A value is looked for in: the default here, the folder's ``connectordb.toml``, the environment
(``CONNECTORDB_SERVER__PORT``), the command line; the last one found wins. What is told about a setting (the
comments in a new ``connectordb.toml``, ``connectordb config``) is made from the structures below.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ..errors import FolderError
from ..wire import DEFAULT_PORT

__all__ = [
    "DEFAULT_ORIGIN",
    "ENVIRONMENT_PREFIX",
    "SECTIONS",
    "AuthSettings",
    "LimitSettings",
    "LiveSettings",
    "LogSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "StoreSettings",
    "load",
    "to_toml",
]

ENVIRONMENT_PREFIX = "CONNECTORDB_"
DEFAULT_ORIGIN = "default"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the server listens."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            description="Address to listen on. 127.0.0.1: this machine only; 0.0.0.0: the whole network.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="TCP port to listen on. 0: any free one, see `connectordb status`."),
    ] = DEFAULT_PORT
    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=2**31 - 1, description="Largest body of a request, in bytes. Above it: 413.")
    ] = 10 * 1024 * 1024
    keep_alive_s: Annotated[
        float, Meta(ge=0, le=86400, description="How long an idle connection is kept open, in seconds.")
    ] = 75.0
    shutdown_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long requests that are running may take to end on stop, in seconds.",
        ),
    ] = 10.0


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what is taken at once. Limits on a user's devices and streams belong to the user's role."""

    insert_points_max: Annotated[
        int, Meta(ge=1, le=100_000_000, description="Most datapoints in one insert. Above it: 413.")
    ] = 100_000
    inserts_waiting_max: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Most writes that may wait for the disk. Above it: 503.")
    ] = 10_000
    idempotency_s: Annotated[
        float,
        Meta(
            ge=1,
            le=31_536_000,
            description="How long the Idempotency-Key of an insert is remembered, in seconds.",
        ),
    ] = 3600.0
    query_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86400,
            description="Longest time that transforms and queries may take for one request, in seconds. Above it: 403.",
        ),
    ] = 60.0
    export_bytes_max: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            le=2**44,
            description="Largest temporary file of an answer in arrow or parquet, in bytes. Above it: 413.",
        ),
    ] = 2 * 1024**3
    script_parts_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Most parts (transforms, operators, values) that a script has. Above it: 400.",
        ),
    ] = 2_000
    script_keys_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Most keys of a map or imap, and different values of a new, in a transform. Above it: 400.",
        ),
    ] = 50_000
    script_text_bytes_max: Annotated[
        int,
        Meta(ge=1, le=2**30, description="Longest text that an append makes in a transform, in bytes. Above it: 400."),
    ] = 1_000_000
    script_points_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="Most datapoints that a quantile or an lttb takes in a transform. Above it: 400.",
        ),
    ] = 1_000_000
    script_copies_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="Most parts of copies of inner scripts (of a map: one for each key) that a transform keeps. "
            "Above it: 400.",
        ),
    ] = 500_000
    script_kept_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=2**40,
            description="About how much a transform keeps in memory: keys, texts, numbers. In bytes. Above it: 400.",
        ),
    ] = 128 * 1024 * 1024
    script_value_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=2**30,
            description="Largest text or object that a transform makes, about, in memory, in bytes. Above it: 400.",
        ),
    ] = 16 * 1024 * 1024
    downlink_s: Annotated[
        float,
        Meta(
            ge=1,
            le=3_153_600_000,
            description="How long a downlink waits for its device unless its sender says otherwise, in seconds.",
        ),
    ] = 604_800.0
    downlinks_waiting_max: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Most downlinks that wait for one stream. Above it: 403."),
    ] = 10_000
    downlinks_kept_s: Annotated[
        float,
        Meta(
            ge=1,
            le=3_153_600_000,
            description="How long it is remembered what became of a downlink, in seconds.",
        ),
    ] = 2_592_000.0


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Subscriptions: websockets and server-sent events."""

    connections_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Most websockets and streams of events at the same time. Above it: 503."),
    ] = 10_000
    subscriptions_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most subscriptions of one connection. Above it: 403.")
    ] = 1_000
    message_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=2**30,
            description="Longest message from a client, in bytes. Above it the connection is closed with 1009.",
        ),
    ] = 1024 * 1024
    messages_per_s: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Most messages that one connection may send, counted over whole seconds. More are read later.",
        ),
    ] = 50_000
    commands_waiting_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Most commands of one connection under way. Above it no more are read until some are answered.",
        ),
    ] = 1_000
    queue_bytes_max: Annotated[
        int,
        Meta(
            ge=4096,
            le=2**30,
            description="About how much waits for a slow reader, in bytes. Above it, it catches up from the database.",
        ),
    ] = 256 * 1024
    ping_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="How often an open websocket is pinged, in seconds.")
    ] = 54.0
    pong_s: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="How long to wait for the answer to a ping before closing, in seconds."),
    ] = 60.0
    heartbeat_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="How often server-sent events have a sign of life, in seconds.")
    ] = 15.0


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Passwords and sessions. The cost of a password hash (argon2id) applies to passwords set from now on."""

    password_time_cost: Annotated[int, Meta(ge=1, le=1000, description="Rounds of the password hash.")] = 3
    password_memory_kib: Annotated[
        int, Meta(ge=8, le=4 * 1024 * 1024, description="Memory of the password hash, in KiB.")
    ] = 65536
    password_parallelism: Annotated[int, Meta(ge=1, le=64, description="Threads of the password hash.")] = 1
    failure_delay_s: Annotated[
        float, Meta(ge=0, le=60, description="How long a failed login waits for its answer, in seconds.")
    ] = 0.3
    failures_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="Failed logins an address has within failures_window_s. Above it: 429.",
        ),
    ] = 30
    failures_window_s: Annotated[
        float, Meta(gt=0, le=86400, description="How long a failed login is remembered, in seconds.")
    ] = 60.0
    session_days: Annotated[
        float,
        Meta(gt=0, le=3650, description='How long the web page stays logged in with "remember me", in days.'),
    ] = 120.0


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The database file."""

    synchronous: Annotated[
        Literal["full", "normal"],
        Meta(
            description="full: what was acknowledged survives a power failure. "
            "normal: faster, but a power failure may take the last seconds."
        ),
    ] = "full"
    group_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Most writes that share one transaction and one sync to disk."),
    ] = 1_000
    read_threads: Annotated[int, Meta(ge=1, le=256, description="Threads that read datapoints from disk.")] = 4
    seal: Annotated[
        bool, Meta(description="Whether datapoints are packed into compressed blocks, in the background.")
    ] = True
    seal_after_s: Annotated[
        float,
        Meta(
            ge=0,
            le=31_536_000,
            description="How long datapoints of a slow stream wait until they are packed, in seconds.",
        ),
    ] = 60.0
    retention_every_s: Annotated[
        float,
        Meta(
            ge=1,
            le=31_536_000,
            description="How often streams that are not kept for ever are looked through for old datapoints, in "
            "seconds.",
        ),
    ] = 600.0
    cache_bytes: Annotated[
        int,
        Meta(ge=0, le=2**40, description="Memory for blocks that were read and may be read again, in bytes."),
    ] = 32 * 1024 * 1024


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server's log: connectordb.log after `start`, the terminal with `run`."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important lines to write.")
    ] = "info"
    requests: Annotated[bool, Meta(description="Whether each request gets a line.")] = True
    bytes_max: Annotated[
        int,
        Meta(ge=4096, le=2**40, description="At this size, in bytes, connectordb.log is put aside as .1."),
    ] = 10_000_000
    files: Annotated[int, Meta(ge=0, le=1000, description="How many logs put aside are kept.")] = 3


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings in force. `origins` says where those that are set come from, by ``section.key``."""

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    live: LiveSettings = LiveSettings()
    auth: AuthSettings = AuthSettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()
    origins: Mapping[str, str] = {}

    def origin(self, name: str) -> str:
        """Where the value of *name* (like ``server.port``) comes from, to be shown to a person."""
        return self.origins.get(name, DEFAULT_ORIGIN)

    def __iter__(self) -> Iterator[Setting]:
        """Every setting, in the order of the file."""
        for section in SECTIONS:
            values = getattr(self, section)
            for key in _types(section):
                name = f"{section}.{key}"
                yield Setting(
                    name=name,
                    value=getattr(values, key),
                    default=_default(section, key),
                    origin=self.origin(name),
                    description=_description(section, key),
                )


class Setting(NamedTuple):
    """One setting as it is in force.

    Attributes:
        name: ``section.key``.
        value: In force.
        default: What it would be if nobody set it.
        origin: ``default``, the path of the file, the environment variable or the option of the command line.
        description: One or two sentences, with the unit.
    """

    name: str
    value: Any
    default: Any
    origin: str
    description: str


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "server": ServerSettings,
    "limits": LimitSettings,
    "live": LiveSettings,
    "auth": AuthSettings,
    "store": StoreSettings,
    "log": LogSettings,
}


def load(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings in force.

    Args:
        file: A ``connectordb.toml``; ``None`` or a file that does not exist: nothing is set by file.
        environ: Environment variables; ``None``: those of this process.
        options: What the command line set, by ``section.key``; ``None`` as a value is "not given".

    Raises:
        FolderError: a file that cannot be read, an unknown section or key, a value of the wrong type or
            out of its bounds. The message names where it stands and the nearest name that is known.
    """
    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[str, str] = {}

    def put(section: str, key: str, value: Any, where: str, *, text: bool = False) -> None:
        found[section][key] = _checked(section, key, value, where, text=text)
        origins[f"{section}.{key}"] = where

    for section, key, value in _in_file(file):
        put(section, key, value, str(file))
    for section, key, value, variable in _in_environment(os.environ if environ is None else environ):
        put(section, key, value, variable, text=True)
    for name, value in (options or {}).items():
        if value is not None:
            section, _, key = name.partition(".")
            put(section, key, value, f"--{key.replace('_', '-')}")

    settings = Settings(
        server=ServerSettings(**found["server"]),
        limits=LimitSettings(**found["limits"]),
        live=LiveSettings(**found["live"]),
        auth=AuthSettings(**found["auth"]),
        store=StoreSettings(**found["store"]),
        log=LogSettings(**found["log"]),
        origins=origins,
    )
    auth = settings.auth
    if auth.password_memory_kib < 8 * auth.password_parallelism:
        raise FolderError(
            f"auth.password_memory_kib = {auth.password_memory_kib} "
            f"({settings.origin('auth.password_memory_kib')}) is too little for "
            f"auth.password_parallelism = {auth.password_parallelism} "
            f"({settings.origin('auth.password_parallelism')}): at least 8 KiB for each thread"
        )
    return settings


def to_toml(values: Mapping[str, Any]) -> str:
    """Return the text of a ``connectordb.toml`` that sets *values* (by ``section.key``).

    All other settings stand there too, as comments with their default.
    """
    lines = [
        "# Settings of this ConnectorDB database. A line that begins with '#' shows a default.",
        "# The environment (as in CONNECTORDB_SERVER__PORT=8000) overrides this file, the command line both.",
        "# `connectordb config DIR` shows what is in force, and why. Changes apply at the next start.",
    ]
    for section, cls in SECTIONS.items():
        lines += ["", f"# {(cls.__doc__ or '').strip()}", f"[{section}]"]
        for key in _types(section):
            name = f"{section}.{key}"
            value = _toml_value(values.get(name, _default(section, key)))
            lines += [f"# {_description(section, key)}", f"{'' if name in values else '#'}{key} = {value}"]
    return "\n".join(lines) + "\n"


def _in_file(file: Path | None) -> Iterator[tuple[str, str, Any]]:
    """The values that *file* sets, as section, key, value."""
    if file is None:
        return
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise FolderError(f"{file} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FolderError(f"{file} is not valid TOML: {error}") from error
    for section, values in document.items():
        if section not in SECTIONS:
            if isinstance(values, dict):
                raise FolderError(f"{file}: [{section}] is no known section{_nearest(section, SECTIONS)}")
            owner = next((f": it belongs below [{name}]" for name in SECTIONS if section in _types(name)), "")
            raise FolderError(f"{file}: {section} stands outside of the sections{owner}")
        if not isinstance(values, dict):
            raise FolderError(f"{file}: {section} is a section: write [{section}] and its keys below")
        for key, value in values.items():
            if key not in _types(section):
                raise FolderError(f"{file}: [{section}] has no key {key}{_nearest(key, _types(section))}")
            yield section, key, value


def _in_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """The values that *environ* sets, as section, key, value, variable."""
    known = {
        f"{ENVIRONMENT_PREFIX}{section.upper()}__{key.upper()}": (section, key)
        for section in SECTIONS
        for key in _types(section)
    }
    for variable, value in sorted(environ.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            if variable not in known:
                raise FolderError(f"the environment variable {variable} is no known setting{_nearest(variable, known)}")
            yield *known[variable], value, variable


def _checked(section: str, key: str, value: Any, where: str, *, text: bool) -> Any:
    """Return *value* as the type of the setting; *text*: it is a string that stands for one."""
    shown = f"{where}: [{section}] {key} = {_toml_value(value)}"
    try:
        checked = msgspec.convert(value, _types(section)[key], strict=not text)
    except msgspec.ValidationError as error:
        kind = _types(section)[key].__origin__
        choices = ", ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else ""
        reason = f"expected one of {choices}" if choices else _lower(str(error)).replace("`", "")
        raise FolderError(f"{shown}: {reason}") from None
    if isinstance(checked, float) and not math.isfinite(checked):
        raise FolderError(f"{shown}: expected a finite number")
    return checked


def _types(section: str) -> dict[str, Any]:
    """The keys of *section* with their annotated types, in order."""
    return get_type_hints(SECTIONS[section], include_extras=True)


def _default(section: str, key: str) -> Any:
    return getattr(SECTIONS[section](), key)


def _description(section: str, key: str) -> str:
    meta = _types(section)[key].__metadata__[0]
    assert isinstance(meta, Meta)  # noqa: S101 - how the structures above are written
    return meta.description or ""


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
