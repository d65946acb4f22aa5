"""The calls that begin and end a session, and make the first user."""

from __future__ import annotations

from ... import wire
from .. import auth, setup
from ..routing import Answer, Body, Param, Route
from .parts import JSON, OK, plain

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    plain(
        f"{wire.API}/login",
        auth.login,
        "Get a session cookie",
        OK,
        tag="Session",
        description="For the web pages of this server: afterwards the cookie tells who asks. Nobody gets none.",
        params=(Param("remember", {"type": "boolean", "default": True}, "Keep it when the browser is closed."),),
        errors=(403,),
    ),
    plain(
        f"{wire.API}/setup",
        setup.read_setup,
        "Is there a user yet",
        Answer("Whether the first user is still to be made, and what that takes", {JSON: wire.SetupState}),
        tag="Session",
        public=True,
    ),
    Route(
        method="POST",
        path=f"{wire.API}/setup",
        handler=setup.create_first_user,
        tag="Session",
        summary="Create the first user",
        description=(
            "For a database without any, and once. From another machine it takes the key of the administrator, which "
            "lies in the folder of the database."
        ),
        body=Body(wire.Setup, "", {"name": "alice", "password": "secret"}),
        answer=OK,
        errors=(403, 408, 413),
        public=True,
    ),
    plain(
        f"{wire.API}/logout",
        auth.logout,
        "Give the session cookie back",
        OK,
        tag="Session",
        public=True,
        errors=(403,),
    ),
)
