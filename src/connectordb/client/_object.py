"""What users, devices and streams have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import NotFound, ServerError
from . import _calls
from ._calls import Fields
from ._session import Session

__all__ = ["ConnectorObject"]


class ConnectorObject:
    """A user, a device or a stream on the server, which may or may not exist.

    The fields are read from the server when first asked for, and kept; `refresh` reads them again. Writing a field
    sends it at once.

    Attributes:
        path: ``user``, ``user/device`` or ``user/device/stream``.
    """

    def __init__(self, session: Session, path: str, data: Fields | None = None) -> None:
        self._session = session
        self._path = path
        self._data = data

    @property
    def path(self) -> str:
        """``user``, ``user/device`` or ``user/device/stream``."""
        return self._path

    @property
    def data(self) -> Fields:
        """The fields, as far as they may be read. Read from the server when first asked for, and kept.

        Raises:
            NotFound: no such thing, or no right to see it.
        """
        data = self._data
        if data is None:
            data = self._data = self._session.run(_calls.read(self.path))
        return data

    def refresh(self) -> None:
        """Read the fields from the server again.

        Raises:
            NotFound: no such thing, or no right to see it.
        """
        self._data = None
        self._data = self._session.run(_calls.read(self.path))

    def exists(self) -> bool:
        """Whether it exists and may be seen; the server is asked each time.

        Raises:
            ConnectorDBError: the server could not be asked, or refuses to answer.
        """
        try:
            self.refresh()
        except NotFound:
            return False
        return True

    def set(self, property_dict: Mapping[str, Any]) -> None:
        """Change several fields at once: all of them, or none. A retry is safe.

        Args:
            property_dict: New values by the names of the fields. What is not named stays.

        Raises:
            PermissionDenied: one of them may not be written.
            InvalidValue: there is no such field, or it may not hold that.
            NotFound: no such thing, or no right to see it.
        """
        self._data = self._session.run(_calls.update(self.path, dict(property_dict)))

    def delete(self) -> None:
        """Delete it, with all that is below it and all data. There is no way back.

        Raises:
            NotFound: no such thing.
            PermissionDenied: no right to delete it.
        """
        self._session.run(_calls.delete(self.path))
        self._data = None

    @property
    def name(self) -> str:
        """The last part of the path. It never changes."""
        return self.path.rpartition("/")[2]

    @property
    def nickname(self) -> str:
        """A free text, to be shown instead of the name."""
        return self._text("nickname")

    @nickname.setter
    def nickname(self, value: str) -> None:
        self.set({"nickname": value})

    @property
    def description(self) -> str:
        """A free text."""
        return self._text("description")

    @description.setter
    def description(self, value: str) -> None:
        self.set({"description": value})

    @property
    def icon(self) -> str:
        """Empty, ``material:NAME``, ``fa:NAME``, or a picture as a data URI or URL-safe base64."""
        return self._text("icon")

    @icon.setter
    def icon(self, value: str) -> None:
        self.set({"icon": value})

    def __repr__(self) -> str:
        return f"[{type(self).__name__}:{self.path}]"

    def _create(self, fields: Fields) -> None:
        self._data = self._session.run(_calls.create(self.path, fields))

    def _field(self, name: str) -> Any:
        """The field *name*. It is an error of its own if the server does not show it."""
        data = self.data
        if name not in data:
            raise NotFound(f"'{self.path}' has no field '{name}' that may be read")
        return data[name]

    def _text(self, name: str) -> str:
        value = self._field(name)
        if not isinstance(value, str):
            raise ServerError(f"the server says that {name} of '{self.path}' is {value!r}, which is no text")
        return value

    def _flag(self, name: str) -> bool:
        value = self._field(name)
        if not isinstance(value, bool):
            raise ServerError(f"the server says that {name} of '{self.path}' is {value!r}: neither true nor false")
        return value
