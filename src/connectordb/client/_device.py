"""Devices."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..datapoints import Time
from ..errors import Invalid
from ..paths import check_name
from . import _calls
from ._feed import Start
from ._object import ConnectorObject
from ._stream import Stream
from ._subscription import Callback, DataHandler, OnError, OnNotice, Subscription

if TYPE_CHECKING:
    from ._user import User

__all__ = ["Device"]


class Device(ConnectorObject):
    """A device, which owns streams and writes datapoints to them, with an API key of its own.

    >>> lamp = db("test/lamp")
    >>> lamp.create(nickname="the lamp in the hall")
    >>> lamp["brightness"].create({"type": "number"})
    >>> lamp.streams()
    [[Stream:test/lamp/brightness]]
    >>> lamp.delete()
    """

    def create(self, public: bool = False, **kwargs: Any) -> None:
        """Create this device. Not sent again if the answer is lost.

        Args:
            public: Whether other users may see it.
            **kwargs: Further fields: `nickname`, `description`, `icon`, `apikey`, `enabled`, `visible`, `role`,
                `user_editable`; and `streams`, a dict of fields by name, to be created with it.

        Raises:
            AlreadyExists: the name is taken.
            PermissionDenied: no right to create devices here.
            InvalidValue: a field may not hold that.
        """
        self._create({**kwargs, "public": public})

    def streams(self) -> list[Stream]:
        """Return the streams of this device, in the server's order."""
        found = self._session.run(_calls.list_children(self._owner_path()))
        return [Stream(self._session, f"{self.path}/{data['name']}", data) for data in found]

    def __getitem__(self, stream_name: str) -> Stream:
        """Return the stream of that name, which need not exist. Nothing is sent."""
        return Stream(self._session, f"{self._owner_path()}/{check_name(stream_name, 'stream name')}")

    def subscribe(
        self,
        callback: Callback,
        transform: str = "",
        *,
        since: Time | None = None,
        i1: int | None = None,
        cursor: Mapping[str, str] | None = None,
        on_notice: OnNotice | None = None,
        on_error: OnError = "continue",
    ) -> Subscription:
        """Call *callback* for each insert into any stream of this device that may be read, later ones included.

        See `Stream.subscribe`. The cursor is a dict here; see `Subscription.cursor`. Of a stream that is deleted,
        *on_notice* is told; the subscription goes on with the others.

        >>> def show(path, data):
        ...     print(path, data.d())
        >>> subscription = db.subscribe(show)
        >>> subscription.path
        'test/user/*'
        >>> subscription.close()
        """
        return self._session.subscriptions.subscribe(
            f"{self._owner_path()}/*",
            transform,
            DataHandler(callback),
            start=Start.of(since, i1, cursor),
            on_notice=on_notice,
            on_error=on_error,
        )

    def unsubscribe(self, transform: str = "") -> None:
        """End the subscription to all streams with this *transform*. If there is none, nothing happens."""
        self._session.subscriptions.unsubscribe(f"{self._owner_path()}/*", transform)

    def export(self, directory: str | PathLike[str]) -> None:
        """Write the device with all streams and data into the new folder *directory*.

        See `connectordb.client.folders` for the form. The folder appears when it is complete.

        Raises:
            FileExistsError: there is such a folder already.
        """
        from .folders import export_device

        export_device(self, directory)

    def import_stream(self, directory: str | PathLike[str]) -> None:
        """Create the stream that was exported to the folder *directory*, with its data.

        Raises:
            AlreadyExists: there is a stream of that name.
            FileNotFoundError: this is no folder of a stream.
            InvalidValue: a file in it cannot be understood.

        When it fails midway, what it created is deleted again; a note on the error says what could not be.
        """
        from .folders import import_stream

        import_stream(self, directory)

    @property
    def apikey(self) -> str:
        """The API key; empty for a device that has none."""
        return self._text("apikey")

    def reset_apikey(self) -> str:
        """Make a new random API key and return it. The old one stops working at once.

        If this connection was made with the old key, it goes on with the new one. Not sent again if the answer is lost.
        """
        self.set({"apikey": ""})
        return self.apikey

    def set(self, property_dict: Mapping[str, Any]) -> None:
        """Change several fields at once; see `ConnectorObject.set`."""
        credentials = self._session.credentials
        own = "apikey" in property_dict and not credentials.user and self._session.who == self.path
        super().set(property_dict)
        if own:
            self._session.credentials = credentials._replace(password=self.apikey)

    @property
    def user(self) -> User:
        """The user who owns this device. Nothing is sent."""
        from ._user import User

        return User(self._session, self._owner_path().partition("/")[0])

    @property
    def public(self) -> bool:
        """Whether other users may see this device."""
        return self._flag("public")

    @public.setter
    def public(self, value: bool) -> None:
        self.set({"public": value})

    @property
    def role(self) -> str:
        """What the device may do besides its own: ``none``, ``reader``, ``writer`` or ``user``."""
        return self._text("role")

    @role.setter
    def role(self, value: str) -> None:
        self.set({"role": value})

    @property
    def enabled(self) -> bool:
        """Whether the device may log in."""
        return self._flag("enabled")

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self.set({"enabled": value})

    @property
    def visible(self) -> bool:
        """Whether the device is shown in lists."""
        return self._flag("visible")

    @visible.setter
    def visible(self, value: bool) -> None:
        self.set({"visible": value})

    def _owner_path(self) -> str:
        """The path, unless it is ``nobody`` or ``root``, which have no streams."""
        if "/" not in self.path:
            raise Invalid(
                f"'{self.path}' is no device and has no streams of its own: name the device, as in db('user/device')"
            )
        return self.path
