"""``export`` and ``import``: all data of a database, as a folder of JSON files; and a file into a stream."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from ..client import ConnectorDB, User
from ..client.folders import Plan, create_user, empty_user, is_untouched, plan_users, refill_user
from ..errors import ConnectorDBError
from ._admin import administrator
from ._arguments import DirArgument
from ._console import fail, say
from ._points import import_points

__all__ = ["register"]


class Duplicates(StrEnum):
    """What is done with datapoints that are there already."""

    KEEP = "keep"
    SKIP = "skip"


IMPORTING_FILE = "connectordb.importing"
"""In the database folder while an import runs, and after one that did not finish."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command("export", rich_help_panel="All data")(export_all)
    app.command("import", rich_help_panel="All data")(import_all)


def export_all(
    path: DirArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make. It must not exist, or be empty.")],
) -> None:
    """Write all that the database in DIR holds into the folder OUT.

    OUT then has a folder for each user, in it one for each device and in that one for each stream: JSON files that
    any program can read, but no other user of this machine: API keys are among it, though no passwords. The server may
    run meanwhile.

    **Example**

        connectordb export mydb mydb-2024
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        fail(f"{target} exists already and is no empty folder: choose another")
    done: list[str] = []
    with administrator(path) as db:
        try:
            for user in db.users():
                user.export(target)
                done.append(user.name)
                say(f"Exported user {user.name}.")
        except BaseException as e:
            if done:
                e.add_note(f"{target} is not complete: it holds only {', '.join(done)}.")
            raise
    if not done:
        fail(f"{path} has no users: there is nothing to export")
    say(f"All is in {target}.")


def import_all(
    path: DirArgument,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A folder that export has made, also one of ConnectorDB 0.3; or a file of datapoints."
        ),
    ],
    stream: Annotated[
        str | None,
        typer.Argument(metavar="STREAM", help="Where a file goes, as user/device/stream.", show_default=False),
    ] = None,
    duplicates: Annotated[
        Duplicates,
        typer.Option(help="What is done with datapoints of a file that are there already: same time, equal data."),
    ] = Duplicates.KEEP,
    create: Annotated[
        bool, typer.Option("--create", help="Make the stream that a file goes into, if missing.")
    ] = False,
    schema: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="With --create: its JSON Schema. Otherwise it takes any values."),
    ] = None,
) -> None:
    """Read the users, devices, streams and data in the folder IN into the database in DIR; or a file into a stream.

    A file is JSON, NDJSON, CSV, Arrow or Parquet, as its extension says. Its datapoints go where they belong in time,
    in whatever order they are, and the server may run meanwhile. With `--duplicates skip` the same file, or a longer
    one, can be read again. Times without a zone are local time of this machine (TZ=UTC in front of the command: UTC).

    The rest is about folders. A user whose name is there already is filled if it has nothing yet, such as the one that
    `create` has made: it keeps its password, and stays an administrator if there is no other. If one has devices or
    streams, all is refused before anything is written.

    An export holds no passwords, so every other user that comes in has its name as password until you give it another.
    An import that did not finish is taken up when you start it again.

    **Examples**

        connectordb import mydb mydb-2024
        connectordb user passwd mydb alice
        connectordb import mydb steps.csv alice/phone/steps --duplicates skip
        connectordb import mydb old.csv alice/phone/weight --create --schema '{"type": "number"}'
    """
    if stream is not None:
        if schema is not None and not create:
            fail("--schema goes with --create: a stream that is there has one")
        import_points(path, source, stream, skip=duplicates is Duplicates.SKIP, create=create, schema=schema)
        return
    if create:
        fail("--create is for a file that goes into a stream: a folder brings its streams")
    if not source.is_dir():
        hint = ", or name the stream that this file goes into" if source.is_file() else ""
        fail(f"{source} is no folder: give one that `connectordb export` has made{hint}")
    if duplicates is Duplicates.SKIP:
        fail("--duplicates is for a file that goes into a stream: a folder goes only into users that have nothing")
    plans = plan_users(source)
    if not plans:
        say(f"{source} holds no users.")
        return
    with administrator(path) as db, _journal(path) as journal:
        _Import(path, source, db, journal).run(plans)
    named = [plan.name for plan in plans if journal.is_new(plan.name) and "password" not in plan.fields]
    for plan in plans:
        if journal.is_new(plan.name) and "password" in plan.fields:
            say(f"The password of {plan.name} is the one in {plan.folder / 'user.json'}.")
    if named:
        say("The password of each is its name until you give it another:")
    for name in named:
        say(f"  connectordb user passwd {path} {name}")


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far the import of one user has come.

    Attributes:
        user: Its name.
        source: The folder that it comes from.
        keys: Digests of the API keys of its device ``user``, when the import began and when it is complete: by these
            it is recognised. Another user of the same name has another one.
        filling: It was there before.
        state: ``gone``: nothing of it is left to take up.
    """

    user: str
    source: str
    keys: list[str]
    filling: bool
    state: Literal["begun", "complete", "gone"]


class _Journal:
    """The marks of an import, in a file: what is in it survives that this process is killed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.marks: dict[str, _Mark] = {}
        with os.fdopen(os.dup(descriptor), "rb") as file:
            for line in file:
                try:
                    mark = msgspec.json.decode(line, type=_Mark)
                except msgspec.MsgspecError:
                    continue  # the end of it was not written any more, so what it was about was not begun
                self._take(mark)
        self._new: dict[str, bool] = {}

    def write(self, mark: _Mark) -> None:
        """Note *mark*, on disk."""
        # The new line before it ends what a killed process may have left.
        os.write(self._descriptor, b"\n" + msgspec.json.encode(mark) + b"\n")
        os.fsync(self._descriptor)
        self._take(mark)
        self._new[mark.user] = not mark.filling

    def skip(self, mark: _Mark) -> None:
        """Note that the user of *mark* came in before."""
        self._new[mark.user] = not mark.filling

    def is_new(self, name: str) -> bool:
        """Whether this import, or the one that it takes up, has created the user *name*."""
        return self._new.get(name, False)

    def _take(self, mark: _Mark) -> None:
        if mark.state == "gone":
            self.marks.pop(mark.user, None)
        else:
            self.marks[mark.user] = mark


@contextmanager
def _journal(path: Path) -> Iterator[_Journal]:
    """Give the journal of imports into the database folder *path*. No other import runs meanwhile."""
    file = path / IMPORTING_FILE
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                break
        except BlockingIOError:
            os.close(descriptor)
            fail(f"another import into {path} is running: wait until it has ended")
        os.close(descriptor)  # that was the file of an import which has just ended
    try:
        journal = _Journal(descriptor)
        try:
            yield journal
        finally:
            if not journal.marks:
                file.unlink()
    finally:
        os.close(descriptor)


class _Import:
    """One run of ``import``."""

    def __init__(self, path: Path, source: Path, db: ConnectorDB, journal: _Journal) -> None:
        self._path = path
        # As text that can be written, whatever bytes the path has.
        self._source = os.fsencode(source.resolve()).decode("utf-8", "backslashreplace")
        self._db = db
        self._journal = journal
        self._users = {user.name: user for user in db.users()}

    def run(self, plans: list[Plan]) -> None:
        """Import all of *plans*, or refuse before anything is written."""
        refused = [plan for plan in plans if plan.name in self._users and not self._may_import(plan)]
        if refused:
            fail(
                f"{self._path} has users of the name {', '.join(plan.name for plan in refused)} already: nothing was "
                f"imported. To import the others, move {refused[0].folder} elsewhere"
            )
        self._tell_of_others({plan.name for plan in plans})
        done: list[str] = []
        # Those that are there come last: then it is known whether there is another administrator.
        for plan in sorted(plans, key=lambda plan: plan.name in self._users):
            try:
                self._import(plan)
            except BaseException as e:
                if done:
                    e.add_note(f"Imported completely: {', '.join(done)}. To go on with the others, import again.")
                raise
            done.append(plan.name)
        for mark in list(self._journal.marks.values()):
            if mark.state == "complete" and mark.source == self._source:
                self._forget(mark)

    def _may_import(self, plan: Plan) -> bool:
        return self._mark(plan) is not None or is_untouched(self._users[plan.name])

    def _mark(self, plan: Plan) -> _Mark | None:
        """What an import that did not finish has noted on the user of *plan*, if the user there now is the same."""
        mark = self._journal.marks.get(plan.name)
        user = self._users.get(plan.name)
        if mark is None or user is None or (mark.state == "complete" and mark.source != self._source):
            return None
        return mark if _key(user) in mark.keys else None

    def _import(self, plan: Plan) -> None:
        user, mark = self._db(plan.name), self._mark(plan)
        if mark is not None and mark.state == "complete":
            self._journal.skip(mark)
            say(f"User {plan.name} is in already, from the import that did not finish.")
            return
        filling = plan.name in self._users
        if mark is not None:
            how = "emptied and filled" if mark.filling else "deleted and imported"
            say(f"The import of user {plan.name} did not finish the last time: it is {how} again.")
            if mark.filling:
                empty_user(user)
            else:
                user.delete()
                filling = False
        try:
            if filling:
                self._fill(user, plan)
            else:
                create_user(user, plan, lambda: self._note(user, plan, "begun", filling=False))
                say(f"Imported user {plan.name}.")
        except BaseException:
            self._forget_if_undone(plan.name)
            raise
        self._note(user, plan, "complete", filling=filling)

    def _fill(self, user: User, plan: Plan) -> None:
        self._note(user, plan, "begun", filling=True)
        user.refresh()
        others = any(other.role == "admin" for other in self._db.users() if other.name != user.name)
        keep = user.role == "admin" and plan.fields.get("role", "admin") != "admin" and not others
        refill_user(user, plan, keep_role=keep)
        say(f"Filled user {user.name}, who was there already and had nothing yet. It keeps its password.")
        if keep:
            say(f"{user.name} stays an administrator, as there is no other.")

    def _note(self, user: User, plan: Plan, state: Literal["begun", "complete"], *, filling: bool) -> None:
        coming = [device.fields.get("apikey") for device in plan.children if device.name == "user"]
        keys = [_key(user), *(_digest(apikey) for apikey in coming if apikey)]
        self._journal.write(
            _Mark(user=user.name, source=self._source, keys=keys, filling=filling, state=state),
        )

    def _forget(self, mark: _Mark) -> None:
        self._journal.write(msgspec.structs.replace(mark, state="gone"))

    def _forget_if_undone(self, name: str) -> None:
        """After a failure: nothing is to be taken up if nothing is left of it."""
        mark = self._journal.marks.get(name)
        try:
            if mark is not None and (not self._db(name).exists() or (mark.filling and is_untouched(self._db(name)))):
                self._forget(mark)
        except ConnectorDBError:
            pass  # the mark stays, for the next time

    def _tell_of_others(self, coming: set[str]) -> None:
        """Users that an import of another folder has left in part are not this one's to take up."""
        for mark in list(self._journal.marks.values()):
            if mark.state != "begun" or mark.user in coming:
                continue
            user = self._users.get(mark.user)
            if user is not None and _key(user) in mark.keys:
                say(
                    f"User {mark.user} is there only in part: its import from {mark.source} did not finish. "
                    "Import that again, or delete the user."
                )
            else:
                self._forget(mark)


def _key(user: User) -> str:
    return _digest(user["user"].data.get("apikey"))


def _digest(apikey: object) -> str:
    return hashlib.sha256(str(apikey).encode()).hexdigest()
