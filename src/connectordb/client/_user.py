"""Users."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from ..datapoints import Time
from ..paths import check_name
from . import _calls
from ._device import Device
from ._feed import Start
from ._object import ConnectorObject
from ._session import Credentials
from ._stream import Stream
from ._subscription import Callback, DataHandler, OnError, OnNotice, Subscription

__all__ = ["User"]


class User(ConnectorObject):
    """A user, who owns devices.

    >>> db("test").role
    'admin'
    """

    def create(self, email: str, password: str, role: str = "user", public: bool = True, **kwargs: Any) -> None:
        """Create this user. Its devices ``user`` and ``meta`` come with it. Not sent again if the answer is lost.

        Args:
            email: Its e-mail address, which serves as user name too.
            password: Its password.
            role: ``user``, ``admin``, or another that the server knows.
            public: Whether others may see it.
            **kwargs: Further fields: `nickname`, `description`, `icon`; and `devices` and `streams` (of the device
                ``user``), each a dict of fields by name, to be created with it.

        Raises:
            AlreadyExists: the name or the e-mail address is taken.
            PermissionDenied: no right to create users.
            InvalidValue: a field may not hold that.
        """
        self._create({**kwargs, "email": email, "password": password, "role": role, "public": public})

    def set_password(self, new_password: str) -> None:
        """Set a new password. If this connection was made with the old one, it goes on with the new one."""
        self.set({"password": new_password})

    def set(self, property_dict: Mapping[str, Any]) -> None:
        """Change several fields at once; see `ConnectorObject.set`."""
        credentials = self._session.credentials
        new = {"email", "password"} & property_dict.keys()
        own = new and credentials.user and self._session.who == f"{self.path}/user"
        super().set(property_dict)
        if own:  # by the name, as the e-mail address may be another now
            password = property_dict.get("password", credentials.password)
            self._session.credentials = Credentials(self.path, password)

    def devices(self) -> list[Device]:
        """Return the devices that may be seen, in the server's order."""
        found = self._session.run(_calls.list_children(self.path))
        return [Device(self._session, f"{self.path}/{data['name']}", data) for data in found]

    def streams(self, public: bool = False, downlink: bool = False, visible: bool = True) -> list[Stream]:
        """Return the streams of all devices that may be seen.

        Args:
            public: Only those of public devices.
            downlink: Only downlinks.
            visible: Leave out those of devices that are not visible, such as ``meta``.
        """
        found = self._session.run(
            _calls.list_user_streams(self.path, public=public, downlink=downlink, visible=visible)
        )
        return [Stream(self._session, f"{self.path}/{data['device']}/{data['name']}", data) for data in found]

    def __getitem__(self, device_name: str) -> Device:
        """Return the device of that name, which need not exist. Nothing is sent."""
        return Device(self._session, f"{self.path}/{check_name(device_name, 'device name')}")

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
        """Call *callback* for each insert into any stream of this user's devices that may be read, later ones included.

        See `Device.subscribe`.
        """
        return self._session.subscriptions.subscribe(
            f"{self.path}/*/*",
            transform,
            DataHandler(callback),
            start=Start.of(since, i1, cursor),
            on_notice=on_notice,
            on_error=on_error,
        )

    def unsubscribe(self, transform: str = "") -> None:
        """End the subscription to all streams with this *transform*. If there is none, nothing happens."""
        self._session.subscriptions.unsubscribe(f"{self.path}/*/*", transform)

    def export(self, directory: str | PathLike[str]) -> None:
        """Write the user with all devices, streams and data into the folder ``directory/NAME``.

        See `connectordb.client.folders` for the form. *directory* may hold other users already. The folder of the user
        appears when it is complete.

        Raises:
            FileExistsError: there is such a folder already.
        """
        from .folders import export_user

        export_user(self, directory)

    def import_device(self, directory: str | PathLike[str]) -> None:
        """Create the device that was exported to the folder *directory*, with its streams and data.

        The device ``user``, which each user has, gets the fields and the streams of the exported one.

        Raises:
            AlreadyExists: there is a device of that name; or of a stream, in the device ``user``.
            FileNotFoundError: this is no folder of a device.
            InvalidValue: a file in it cannot be understood.

        When it fails midway, what it created is deleted again; a note on the error says what could not be.
        """
        from .folders import import_device

        import_device(self, directory)

    @property
    def email(self) -> str:
        """The e-mail address."""
        return self._text("email")

    @email.setter
    def email(self, value: str) -> None:
        self.set({"email": value})

    @property
    def public(self) -> bool:
        """Whether others may see this user."""
        return self._flag("public")

    @public.setter
    def public(self, value: bool) -> None:
        self.set({"public": value})

    @property
    def role(self) -> str:
        """What the user may do: ``user``, ``admin``, or another that the server knows."""
        return self._text("role")

    @role.setter
    def role(self, value: str) -> None:
        self.set({"role": value})
