"""The first user of a new database, from the browser."""

from __future__ import annotations

import msgspec

from ..core.actor import ROOT
from ..errors import PermissionDenied, Unauthenticated
from ..wire import Setup, SetupState
from .reply import Reply, json_reply, text_reply
from .request import Request
from .state import State

__all__ = ["create_first_user", "read_setup"]

_setup = msgspec.json.Decoder(Setup)


async def read_setup(state: State, request: Request) -> Reply:
    """Whether there is no user yet, and what making the first one takes."""
    return json_reply(SetupState(needed=state.core.needs_first_user(), key=not request.same_machine))


async def create_first_user(state: State, request: Request) -> Reply:
    """Create the first user."""
    if request.cross_origin:
        raise PermissionDenied("only a page of this server itself can make its first user")
    wanted = await request.json(_setup)
    if not request.same_machine:
        try:
            known = await state.core.identity.by_apikey(wanted.key, request.peer) is ROOT
        except Unauthenticated:
            known = False
        if not known:
            raise PermissionDenied(
                "from another machine this takes the key of the administrator: it is what stands in the file "
                "keys/admin.key in the folder of the database"
            )
    await state.core.create_first_user(wanted.name, wanted.password, wanted.email)
    return text_reply("ok")
