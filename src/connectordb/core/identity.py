"""Who somebody is: passwords, API keys, sessions."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..errors import TooManyRequests, Unauthenticated
from ..store.records import Device, User
from .actor import ROOT, Actor
from .directory import LOGIN_DEVICE, Directory
from .sessions import EndedSessions
from .settings import AuthSettings

__all__ = ["Identity", "new_apikey"]

VERIFIED_MAX = 1024
"""Passwords remembered as verified."""
FAILING_PEERS_MAX = 10_000
"""Peers whose failures are counted; the one that failed longest ago is forgotten first."""
PASSWORD_LENGTH_MAX = 1024
_DAY_S = 86_400


def new_apikey() -> str:
    """Return a new random API key."""
    return str(uuid.uuid4())


class Identity:
    """Tells from credentials who asks.

    Passwords are kept as argon2id. As that is slow on purpose, and old clients send the password with each request,
    a password that has been verified is remembered (as a keyed digest) for as long as the user has that password.
    """

    def __init__(
        self,
        directory: Directory,
        settings: AuthSettings,
        *,
        secret: bytes,
        admin_key: str,
        clock: Callable[[], float] = time.time,
        ended_sessions: Path | None = None,
    ) -> None:
        from argon2 import PasswordHasher
        from itsdangerous import URLSafeTimedSerializer

        self._directory = directory
        self._settings = settings
        self._admin_digest = _digest(admin_key)
        self._hasher = PasswordHasher(
            time_cost=settings.password_time_cost,
            memory_cost=settings.password_memory_kib,
            parallelism=settings.password_parallelism,
        )
        self._sessions = URLSafeTimedSerializer(secret, salt="connectordb-session")
        self._ended = EndedSessions(ended_sessions, clock)
        self._cache_key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, str] = OrderedDict()
        self._failures = _Failures(settings.failures_max, settings.failures_window_s)
        self._clock = clock
        # Two at a time: a flood of logins takes neither the memory nor all processors.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="connectordb-password")
        self._decoy = _decoy(settings)

    async def hash_password(self, password: str) -> str:
        """Return the hash under which *password* is stored."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def login(self, name: str, password: str, peer: str = "") -> Actor:
        """Return the device ``user`` of the user with that name or e-mail address.

        Args:
            name: User name or e-mail address.
            password: The password.
            peer: Where the request comes from; failures are counted for each peer and user.

        Raises:
            Unauthenticated: wrong, after a delay.
            TooManyRequests: too many failures of this peer with this user lately.
        """
        found = self._directory.by_login(name)
        user = found[0] if found else None
        known = self._cache_digest(user, password)
        if user is None or self._verified.get(known) != user.password:
            # Counted before it is known to fail: many at once must not get more tries than one after the other.
            attempt = self._failures.begin((peer, user.id if user else name.lower()), self._clock())
            if not await self._verify(user, password) or found is None or user is None:
                await asyncio.sleep(self._settings.failure_delay_s)
                raise Unauthenticated("wrong user name or password")
            attempt.succeeded()
            self._verified[known] = user.password
            if len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)
        self._verified.move_to_end(known)
        if found is None or not found[1].enabled:
            raise Unauthenticated(f"the device {name}/{LOGIN_DEVICE}, which passwords log in to, is disabled")
        return Actor.of(*found)

    async def by_apikey(self, apikey: str, peer: str = "") -> Actor:
        """Return the device with that API key.

        Raises:
            Unauthenticated: there is none, or it is disabled; after a delay.
        """
        found = self._directory.by_apikey(apikey)
        if found is not None and found[1].enabled:
            return Actor.of(*found)
        if hmac.compare_digest(_digest(apikey), self._admin_digest):
            return ROOT
        await asyncio.sleep(self._settings.failure_delay_s)
        if found is not None:
            raise Unauthenticated(f"the device {found[0].name}/{found[1].name} is disabled")
        raise Unauthenticated("no device has this API key" if apikey else "an API key or a user name is needed")

    def session(self, actor: Actor) -> str:
        """Return the value of a session cookie for *actor*, valid until it is ended or its password or API key changes.

        Raises:
            Unauthenticated: *actor* is no device.
        """
        if actor.user is None or actor.device is None:
            raise Unauthenticated("only a user or a device can have a session")
        stamp = _stamp(actor.user, actor.device)
        value: str = self._sessions.dumps([actor.user.name, actor.device.name, stamp, secrets.token_hex(8)])
        return value

    def by_session(self, value: str) -> Actor | None:
        """Return the actor of the session cookie *value*, or ``None`` if it is not valid, or not any more."""
        from itsdangerous import BadData

        try:
            user_name, device_name, stamp, number = self._sessions.loads(value, max_age=self.session_s)
            found = self._directory.device(user_name, device_name)
        except (BadData, ValueError, TypeError):
            return None
        if number in self._ended:
            return None
        if found is None or not found[1].enabled or not hmac.compare_digest(stamp, _stamp(*found)):
            return None
        return Actor.of(*found, number)

    async def end_session(self, value: str) -> None:
        """End the session of the cookie *value*, wherever else that may be, also after a restart.

        Raises:
            OSError: the disk refuses; it has ended for as long as this process lasts.
        """
        from itsdangerous import BadData

        if self.by_session(value) is None:
            return
        try:
            session, signed = self._sessions.loads(value, max_age=self.session_s, return_timestamp=True)
        except BadData:  # aged meanwhile
            return
        number, until = session[3], signed.timestamp() + self.session_s
        self._ended.add(number, until)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._ended.write, number, until)

    def refresh(self, actor: Actor, login: str) -> Actor:
        """Return *actor* as it is now, if what it logged in with is still valid. No session ends here by its age.

        Args:
            login: ``"apikey"``, ``"password"`` or ``"session"``; else nothing was shown that could become invalid.

        Raises:
            Unauthenticated: the device is gone or disabled, the credentials have changed, or the session has been
                ended. At once.
        """
        if actor.user is None or actor.device is None:
            return actor
        if actor.session in self._ended:
            raise Unauthenticated(f"a session of {actor.path} has been ended by signing out")
        found = self._directory.device(actor.user.name, actor.device.name)
        if found is None or found[1].id != actor.device.id:
            raise Unauthenticated(f"the device {actor.path} has been deleted")
        user, device = found
        if not device.enabled:
            raise Unauthenticated(f"the device {actor.path} is disabled")
        if login in ("apikey", "session") and device.apikey != actor.device.apikey:
            raise Unauthenticated(f"the API key of {actor.path} has changed")
        if login in ("password", "session") and user.password != actor.user.password:
            raise Unauthenticated(f"the password of {user.name} has changed")
        return Actor.of(user, device, actor.session)

    @property
    def session_s(self) -> int:
        """How long a session lasts, in seconds."""
        return int(self._settings.session_days * _DAY_S)

    def close(self) -> None:
        """End the threads that verify passwords."""
        self._threads.shutdown()

    async def _verify(self, user: User | None, password: str) -> bool:
        """Whether *password* is the user's; takes as long for a user that does not exist."""
        if len(password) > PASSWORD_LENGTH_MAX:
            return False
        stored = user.password if user and user.password else self._decoy
        right = await asyncio.get_running_loop().run_in_executor(self._threads, self._matches, stored, password)
        return right and user is not None

    def _matches(self, stored: str, password: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHash

        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHash, UnicodeError):
            return False

    def _cache_digest(self, user: User | None, password: str) -> bytes:
        text = f"{user.id if user else 0}:{password}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._cache_key, digest_size=32).digest()


class _Attempt(NamedTuple):
    """A login that has begun, and counts as failed until it is known to have succeeded."""

    times: deque[float]
    t: float

    def succeeded(self) -> None:
        with contextlib.suppress(ValueError):  # forgotten meanwhile
            self.times.remove(self.t)


class _Failures:
    """Counts failures within a sliding window of time."""

    def __init__(self, count_max: int, window_s: float) -> None:
        self._max = count_max
        self._window_s = window_s
        self._times: OrderedDict[tuple[str, str | int], deque[float]] = OrderedDict()

    def begin(self, key: tuple[str, str | int], now: float) -> _Attempt:
        """Count an attempt. Raises `TooManyRequests` instead if there were too many failures."""
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        while times and times[0] <= now - self._window_s:
            times.popleft()
        if len(times) >= self._max:
            wait_s = max(1, round(times[0] + self._window_s - now))
            raise TooManyRequests(f"too many failed logins; try again in {wait_s} s", retry_after_s=wait_s)
        times.append(now)
        if len(self._times) > FAILING_PEERS_MAX:
            self._times.popitem(last=False)
        return _Attempt(times, now)


def _decoy(settings: AuthSettings) -> str:
    """A hash that no password has, as costly to verify as a real one."""
    salt, digest = (base64.b64encode(secrets.token_bytes(n)).rstrip(b"=").decode() for n in (16, 32))
    cost = f"m={settings.password_memory_kib},t={settings.password_time_cost},p={settings.password_parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _stamp(user: User, device: Device) -> str:
    """Changes with the password and with the API key, and tells nothing about either."""
    return hashlib.sha256(f"{user.password}\0{device.apikey}\0{device.id}".encode()).hexdigest()[:32]
