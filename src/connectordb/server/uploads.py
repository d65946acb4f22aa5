"""What makes an insert recognisable when it comes again."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TypeVar

from ..core import UploadRequest
from ..errors import Invalid, UploadConflict
from ..store.records import Mode
from ..wire import SOURCE_LENGTH_MAX

__all__ = ["check_key", "insert_digest", "key_source", "key_upload", "told_of_key"]

Error = TypeVar("Error", bound=BaseException)

_KEY = re.compile(rb"[!-~]{1,%d}" % SOURCE_LENGTH_MAX)


def key_upload(key: bytes, mode: Mode, body: bytes, lifetime_s: float) -> UploadRequest:
    """Return what to remember of an insert that has an idempotency key.

    Args:
        body: The JSON array of the datapoints, as it came.
        lifetime_s: For how long a repetition is to be recognised.

    Raises:
        Invalid: *key* cannot be one.
    """
    return UploadRequest(key_source(key), 1, 1, insert_digest(mode, body), lifetime_s=lifetime_s)


def key_source(key: bytes) -> str:
    """Return the source that an idempotency key stands for. Raises `Invalid` if *key* cannot be one."""
    check_key(key)
    # Hashed, so that no key can be taken for the source of somebody's uploads.
    return "key:" + blake2b(key, digest_size=16).hexdigest()


def check_key(key: bytes) -> None:
    """Raise `Invalid` if *key* cannot be an idempotency key."""
    if not _KEY.fullmatch(key):
        raise Invalid(f"an Idempotency-Key has 1 to {SOURCE_LENGTH_MAX} characters, all of them visible ASCII")


def insert_digest(mode: Mode, body: bytes) -> bytes:
    """Return the digest by which a repetition is told from something else."""
    return blake2b(body, digest_size=16, person=mode.name.encode()).digest()


def told_of_key(error: Error) -> Error | UploadConflict:
    """Return *error*, which is the answer to a request with an idempotency key, as its sender understands it."""
    if isinstance(error, UploadConflict):
        return UploadConflict("this Idempotency-Key was used for another request: take a new one")
    return error
