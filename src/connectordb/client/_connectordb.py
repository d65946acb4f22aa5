"""ConnectorDB: the connection to a server, as a device of it."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from types import TracebackType
from typing import Any, Self

from ..errors import Unsupported
from ..paths import parse_path
from ..wire import DEFAULT_URL
from . import _calls
from ._device import Device
from ._object import ConnectorObject
from ._session import DEADLINE_S, RETRIES, ROOT, TIMEOUT_S, Credentials, Session
from ._stream import Stream
from ._transport import HttpTransport, Transport
from ._user import User

__all__ = ["ConnectorDB"]


class ConnectorDB(Device):
    """A connection to a ConnectorDB server. It is also the device that has logged in.

    It may be used by several threads at once, and after a fork. In a ``with`` block it is closed at the end.

    Args:
        user_or_apikey: The API key of a device; or a user name or e-mail address, together with *user_password*.
            ``None``: nobody, who sees what is public.
        user_password: The password of the user. The connection is then the device ``user`` of that user.
        url: Where the server is. Certificates are verified.
        timeout: How long to wait for the server to begin an answer, and for each further piece of it, in seconds.
        retries: How many times more a call is sent if the server cannot be reached, is busy, or if its answer is lost
            and repeating does no harm; with growing pauses. 0: never.
        deadline: No call is sent again later than this after its first time, in seconds.

    Raises:
        Unauthenticated: wrong API key, user or password (401).
        ConnectFailed: no server there.
        InvalidValue: user, password or API key is not valid Unicode.
        ValueError: *url* is no address of a server.

    >>> db["mystream"].exists()
    False
    >>> db["mystream"].create({"type": "string"})
    >>> db["mystream"].insert("Hello World!")
    >>> len(db["mystream"])
    1
    >>> db["mystream"][0]["d"]
    'Hello World!'
    >>> db["mystream"].delete()
    """

    def __init__(
        self,
        user_or_apikey: str | None = None,
        user_password: str | None = None,
        url: str = DEFAULT_URL,
        *,
        timeout: float = TIMEOUT_S,
        retries: int = RETRIES,
        deadline: float = DEADLINE_S,
    ) -> None:
        for given, what in ((user_or_apikey, "user_or_apikey"), (user_password, "user_password")):
            if given is not None and not isinstance(given, str):
                raise TypeError(f"{what} has to be a text, not {type(given).__name__}")
        if user_password is None:
            credentials = Credentials(password=user_or_apikey or "")
        else:
            credentials = Credentials(user_or_apikey or "", user_password)
        session = Session(HttpTransport(url), credentials, timeout_s=timeout, retries=retries, deadline_s=deadline)
        self._connect(session)

    @classmethod
    def local(cls, folder: str | PathLike[str], user: str | None = None) -> Self:
        """Open the database in *folder* without a server process; all else works the same.

        A folder that does not exist is made. It is in use until `close`; several clients of this process may have it
        open. It needs ``pip install connectordb[server]``.

        Args:
            folder: A database folder.
            user: As whose device ``user`` to act. ``None``: as the only user there is. ``"root"``: as the local
                administrator, who may do everything, but is no device and has no streams of its own.

        Raises:
            FolderError: it cannot be opened: it is no database, or in use, by a running server for example; or there is
                no such user, or more than one and none was named.
            ImportError: the server is not installed.
        """
        transport: Transport
        try:
            # By name: the client does not depend on the server.
            local: Any = import_module("connectordb.server.local")
            if user == ROOT:
                administered = local.LocalTransport(folder)
                transport, apikey = administered, administered.admin_key
            else:
                transport, apikey = local.open_local(folder, user)
        except ImportError as e:
            raise ImportError(f'local mode needs the server: pip install "connectordb[server]" ({e})') from e
        self = cls.__new__(cls)
        self._connect(Session(transport, Credentials(password=apikey)))
        return self

    def _connect(self, session: Session) -> None:
        try:
            super().__init__(session, session.who)
        except BaseException:
            session.close()
            raise

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._session.transport.url

    def __call__(self, path: str) -> Any:
        """Return the `User`, `Device` or `Stream` at *path*, which need not exist. Nothing is sent.

        Args:
            path: ``user``, ``user/device`` or ``user/device/stream``.

        Raises:
            Invalid: it is no path.
        """
        names = parse_path(path)
        kinds: tuple[type[ConnectorObject], ...] = (User, Device, Stream)
        return kinds[len(names) - 1](self._session, "/".join(names))

    def ping(self) -> str:
        """Ask the server who this is, and return the path of the device.

        Raises:
            Unauthenticated: the credentials are not valid, or no longer so.
            TransportError: no answer.
        """
        return self._session.run(_calls.this())

    def info(self) -> dict[str, Any]:
        """Return what the server is: its ``version`` (text), ``transforms`` and ``interpolators``.

        The latter two are dicts by name, empty if the server runs no queries.
        """
        return {
            "version": self._session.run(_calls.version()),
            "transforms": self._known(_calls.transforms()),
            "interpolators": self._known(_calls.interpolators()),
        }

    def _known(self, call: _calls.Call[_calls.Fields]) -> _calls.Fields:
        try:
            return self._session.run(call)
        except Unsupported:
            return {}

    def users(self) -> list[User]:
        """Return the users that may be seen, in the server's order.

        Raises:
            NotFound: no right to list users.
        """
        return [User(self._session, data["name"], data) for data in self._session.run(_calls.list_users())]

    def count_users(self) -> int:
        """Return the number of all users on the server. Raises `PermissionDenied`."""
        return self._session.run(_calls.count("users"))

    def count_devices(self) -> int:
        """Return the number of all devices on the server. Raises `PermissionDenied`."""
        return self._session.run(_calls.count("devices"))

    def count_streams(self) -> int:
        """Return the number of all streams on the server. Raises `PermissionDenied`."""
        return self._session.run(_calls.count("streams"))

    def import_users(self, directory: str | PathLike[str]) -> None:
        """Create the users that were exported to *directory*, each with all devices, streams and data.

        As passwords are not exported, the password of each is its name: have it changed.

        Raises:
            AlreadyExists: there is a user of that name, or with that e-mail address.
            FileNotFoundError: this is no folder of exported users.
            InvalidValue: a file in it cannot be understood, was written by a later version, or two users in it are of
                the same name.

        When it fails midway, the user in question is deleted again; a note on the error says which users are in.
        """
        from .folders import import_users

        import_users(self._session, directory)

    def close(self) -> None:
        """Close all connections. Every use raises `Closed` from then on; closing twice does nothing.

        Callbacks of subscriptions that run may come to their end before, and what they answer to requests still goes
        out; after ten seconds they are waited for no longer, and what they answer then is lost. None is called any
        more. From within a callback this returns at once, and the connections close when the callback has ended.
        """
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
