"""The first user of a database that has none: made in the browser, by whoever looks after the server."""

from __future__ import annotations

from ..errors import PermissionDenied
from ..store.base import Transaction
from ..wire import UserCreate
from .actor import ROOT
from .creation import plan_user
from .fields import check_user_name, parse_changes
from .objects import Note, ObjectRules
from .permissions import Relation

__all__ = ["FirstUserRules"]


class FirstUserRules(ObjectRules):
    """Making the first user, who is an administrator, needs no login, as nobody could have one."""

    def needs_first_user(self) -> bool:
        """Whether there is no user yet."""
        return self.store.counts().users == 0

    async def create_first_user(self, name: str, password: str, email: str = "") -> None:
        """Create the first user. Of several that are tried at once, one is created.

        Args:
            name: Of the user, who becomes an administrator and is private.
            password: The password.
            email: Empty: ``NAME@localhost``.

        Raises:
            Invalid: a bad name.
            InvalidValue: a bad password or e-mail address.
            PermissionDenied: there is a user already.
        """
        if not self.needs_first_user():
            raise _too_late()
        check_user_name(name, self.permissions.disallowed_names)
        wanted = UserCreate(email=email or f"{name}@localhost", password=password, role="admin", public=False)
        parse_changes("user", name, {"password": wanted.password, "email": wanted.email})
        hashed = await self.identity.hash_password(password)
        access = ROOT.access(self.permissions, Relation.PRIVATE)
        plan = plan_user(self.permissions, ROOT, access, name, wanted, hashed)

        def work(tx: Transaction, note: Note) -> None:
            if tx.counts().users:
                raise _too_late()
            events: list[tuple[str, str]] = []
            note(plan.create(tx, self.permissions, events), events)

        await self._change(ROOT, work)


def _too_late() -> PermissionDenied:
    return PermissionDenied("this database has a user already: sign in, or ask its administrator for an account")
