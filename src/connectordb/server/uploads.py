"""What makes an insert recognisable when it comes again."""

from __future__ import annotations

import re
from hashlib import blake2b

from ..core import UploadRequest
from ..errors import Invalid
from ..store.base import Mode
from ..wire import SOURCE_LENGTH_MAX

__all__ = ["check_key", "insert_digest", "key_upload"]

_KEY = re.compile(rb"[!-~]{1,%d}" % SOURCE_LENGTH_MAX)


def key_upload(key: bytes, mode: Mode, body: bytes, lifetime_s: float) -> UploadRequest:
    """Return what to remember of an insert that has an idempotency key.

    Args:
        body: The JSON array of the datapoints, as it came.
        lifetime_s: For how long a repetition is to be recognised.

    Raises:
        Invalid: *key* cannot be one.
    """
    check_key(key)
    # Hashed, so that no key can be taken for the source of somebody's uploads.
    source = "key:" + blake2b(key, digest_size=16).hexdigest()
    return UploadRequest(source, 1, 1, insert_digest(mode, body), lifetime_s=lifetime_s)


def check_key(key: bytes) -> None:
    """Raise `Invalid` if *key* cannot be an idempotency key."""
    if not _KEY.fullmatch(key):
        raise Invalid(f"an Idempotency-Key has 1 to {SOURCE_LENGTH_MAX} characters, all of them visible ASCII")


def insert_digest(mode: Mode, body: bytes) -> bytes:
    """Return the digest by which a repetition is told from something else."""
    return blake2b(body, digest_size=16, person=mode.name.encode()).digest()
