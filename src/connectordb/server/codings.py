"""Content codings: gzip and zstd, as bodies of requests and of answers may be compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, Literal, Protocol

from ..errors import Invalid, TooLarge

__all__ = [
    "Coding",
    "Compressor",
    "accepted_coding",
    "check_not_coded",
    "coding_of",
    "compressor",
    "decompressed",
    "weights",
]

Coding = Literal["gzip", "zstd"]

GZIP_LEVEL: Final = 1
"""Of zlib: 4 ms for each 10^6 bytes of JSON, which become a quarter. Higher ones take up to five times as long for
another twentieth."""
ZSTD_LEVEL: Final = 1
"""1.2 ms for the same, which become less than with gzip."""
MEMBERS_MAX: Final = 1000
"""A compressed body has at most so many parts that follow one another, each complete in itself."""

_NAMES: Final[dict[str, Coding]] = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_NO_CODINGS: Final = frozenset({"", "identity", "utf-8", "utf8", "us-ascii"})
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_GZIP_STEP: Final = 4096  # a byte stands for 1032 at most: no step makes more than 4 MiB
_ZSTD_STEP: Final = 256  # four bytes may stand for 128 KiB: no step makes more than 8 MiB
_ZSTD_WINDOW_MAX: Final = 8 * 1024 * 1024  # RFC 9659: nobody has to take more


class Compressor(Protocol):
    """Takes data in parts, and gives what they become."""

    def compress(self, data: bytes, /) -> bytes:
        """Take *data*."""

    def flush(self) -> bytes:
        """Take no more."""


def weights(header: str) -> list[tuple[str, float]]:
    """What a header such as ``Accept`` lists, in small letters, each with its q; what cannot be read has 0."""
    found = []
    for part in header.split(","):
        name, *params = [piece.strip().lower() for piece in part.split(";")]
        q = 1.0
        for param in params:
            key, _, value = param.partition("=")
            if key.strip() == "q":
                try:
                    q = min(1.0, max(0.0, float(value)))
                except ValueError:
                    q = 0.0
        if name:
            found.append((name, q))
    return found


@lru_cache(maxsize=256)
def accepted_coding(header: bytes) -> Coding | None:
    """Return the coding that a header ``Accept-Encoding`` likes best; ``None``: nothing is to be compressed.

    Of two that it likes the same it is zstd. ``*`` is gzip, which everybody knows.
    """
    listed = {_NAMES.get(name, name): q for name, q in weights(header.decode("latin-1"))}
    zstd, gzip = listed.get("zstd", 0.0), listed.get("gzip", listed.get("*", 0.0))
    best = max(zstd, gzip)
    if best == 0.0 or best < listed.get("identity", 0.0):
        return None
    return "zstd" if zstd == best else "gzip"


def compressor(coding: Coding) -> Compressor:
    """Return a new one."""
    if coding == "gzip":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    import zstandard

    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()


def coding_of(header: bytes) -> Coding | None:
    """Return the coding that a header ``Content-Encoding`` names.

    ``identity`` means nothing, and neither does a character set, as some clients say.

    Raises:
        Invalid: it is one that is not taken here, or there are several (415).
    """
    if not header:
        return None
    names = [name.strip().lower() for name in header.decode("latin-1").split(",")]
    codings = [name for name in names if name not in _NO_CODINGS]
    if len(codings) > 1:
        raise Invalid(
            f"the body is compressed more than once (Content-Encoding: {', '.join(codings)[:60]}): once is enough",
            status=415,
        )
    if not codings:
        return None
    coding = _NAMES.get(codings[0])
    if coding is None:
        raise Invalid(f"Content-Encoding may be gzip or zstd, but not {codings[0][:40]!a}", status=415)
    return coding


def check_not_coded(header: bytes) -> None:
    """Raise `Invalid` (415) if a header ``Content-Encoding`` says that a body is compressed which may not be."""
    if header and coding_of(header) is not None:
        raise Invalid("only the datapoints of an insert may be compressed: send this body as it is", status=415)


def decompressed(coding: Coding, body: bytes, bytes_max: int) -> bytes:
    """Return what *body* stands for, which may have several parts that are compressed each by itself.

    Raises:
        Invalid: it is not compressed so, or not all of it is there.
        TooLarge: it is more than *bytes_max*. No more than 8 MiB beyond that is ever in memory.
    """
    start, step, error = _decompressors(coding)
    parts: list[bytes] = []
    at = size = 0
    members, decompressor = 1, start()
    while at < len(body):
        if decompressor.eof:
            members, decompressor = members + 1, start()
            if members > MEMBERS_MAX:
                raise Invalid(f"the body is {coding} of more than {MEMBERS_MAX} parts")
        piece = body[at : at + step]
        try:
            parts.append(decompressor.decompress(piece))
        except error as e:
            if "too much memory" in str(e):
                raise Invalid(
                    f"the body is {coding} with a window of more than {_ZSTD_WINDOW_MAX >> 20} MiB: compress it "
                    "without --long and --ultra"
                ) from None
            raise Invalid(f"the body is not {coding}: {e}") from None
        at += len(piece) - len(decompressor.unused_data)
        size += len(parts[-1])
        if size > bytes_max:
            raise TooLarge(
                f"the body is larger than {bytes_max} bytes without its compression, which is the most that this "
                "server takes at once: send it in parts",
                limit=bytes_max,
            )
    if not decompressor.eof:
        raise Invalid(f"the body is not {coding}: its end is missing")
    return b"".join(parts)


def _decompressors(coding: Coding) -> tuple[Callable[[], Any], int, type[Exception]]:
    """Return what makes a decompressor, how much it is to get at a time, and what it raises."""
    if coding == "gzip":
        return partial(zlib.decompressobj, _GZIP_WBITS), _GZIP_STEP, zlib.error
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX).decompressobj, _ZSTD_STEP, zstandard.ZstdError
