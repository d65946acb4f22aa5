"""Text: what it contains, its words, its mood, the address in it."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from ..registry import Arg, Example, Step, transform
from ..values import Failure, text

_PATTERN_MAX = 10_000
_PATTERN_BYTES: Final = 2 * 1024 * 1024
"""What the engine may keep for a pattern: there may be many patterns at once."""
_SPACERS: Final = re.compile(r"[.,\\/#!$%^&*;:{}=\-_`~()]+")


@transform(
    "contains",
    Arg("text", "text", "what to look for", constant=True),
    stateless=True,
    doc="Whether the text contains another.",
    examples=[Example("contains('work')", ["at work", "at home"], [True, False])],
    returns='{"type": "boolean"}',
)
def contains(wanted: Any) -> Step:
    needle = text(wanted)
    return lambda t, d: needle in text(d)


@lru_cache(maxsize=64)
def _searcher(pattern: str) -> Callable[[str], Any]:
    """Return the search function of a regular expression, by an engine that takes linear time for any."""
    if len(pattern) > _PATTERN_MAX:
        raise Failure(f"the pattern has more than {_PATTERN_MAX} characters")
    try:
        re2: Any = importlib.import_module("re2")
    except ImportError:
        raise Failure('regular expressions need google-re2: pip install "connectordb[pipescript]"') from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_BYTES
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as e:
        reason = e.args[0] if e.args else e
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise Failure(f"this is no regular expression: {shown}") from None
    except UnicodeEncodeError:
        raise Failure("the pattern holds a lone surrogate") from None
    search: Callable[[str], Any] = compiled.search
    return search


@transform(
    "regex",
    Arg("pattern", "text", "a regular expression, in the syntax of RE2", constant=True),
    stateless=True,
    doc="Whether the text matches a regular expression anywhere.",
    examples=[Example("regex('^a+$')", ["aaa", "ab"], [True, False])],
    returns='{"type": "boolean"}',
)
def regex(pattern: Any) -> Step:
    search = _searcher(text(pattern))

    def step(t: float, d: Any) -> bool:
        try:
            return search(text(d)) is not None
        except UnicodeEncodeError:
            raise Failure("the text holds a lone surrogate") from None

    return step


def _words(value: Any) -> list[str]:
    return _SPACERS.sub(" ", text(value).lower()).split()


@transform(
    "wc",
    stateless=True,
    doc="The number of words in the text.",
    examples=[Example("wc", ["hello world", ""], [2, 0])],
    returns='{"type": "integer"}',
    accepts='{"type": "string"}',
)
def wc() -> Step:
    return lambda t, d: len(_words(d))


@cache
def _scores() -> dict[str, int]:
    """Return the scores of words, -5 to 5, from the package ``afinn``, whose licence keeps it out of ours."""
    try:
        spec = importlib.util.find_spec("afinn")  # found, not imported: only its data are wanted
        folder = next(iter(spec.submodule_search_locations or ())) if spec else ""
        lines = Path(folder, "data", "AFINN-111.txt").read_text("utf-8").splitlines()
    except (ImportError, OSError, StopIteration):
        raise Failure("its list of words comes with another package: pip install afinn") from None
    return {word: int(score) for word, _, score in (line.rpartition("\t") for line in lines)}


@transform(
    "sentiment",
    stateless=True,
    doc="The mood of an English text, from -1 to 1, by the scores of its words in the list AFINN-111. "
    "Needs the package 'afinn'.",
    examples=[Example("sentiment", ["great", "terrible"], [0.6, -0.6])],
    returns='{"type": "number"}',
    accepts='{"type": "string"}',
)
def sentiment() -> Step:
    scores = _scores()

    def step(t: float, d: Any) -> float:
        words = _words(d)
        return sum(scores.get(word, 0) for word in words) / (5 * len(words)) if words else 0.0

    return step


_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)?:")
_USER: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=\[\]:<>\"\x80-\U0010ffff]|%25|%[89A-Fa-f][0-9A-Fa-f])*")
_PORT: Final = re.compile(r"(?::[0-9]*)?", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@transform(
    "domain",
    stateless=True,
    doc="The host of an address, with its port, without a leading 'www.'; empty if it is no address with a host.",
    examples=[Example("domain", ["https://www.example.com/a?b", "example.com"], ["example.com", ""])],
    returns='{"type": "string"}',
)
def domain() -> Step:
    return lambda t, d: _domain(text(d))


def _domain(address: str) -> str:
    """Return the host of an address, by the rules of Go's ``net/url``."""
    if _CONTROL.search(address):
        return ""
    rest = address.partition("#")[0]
    if match := _SCHEME.match(rest):
        if match.group(1) is None:
            return ""
        rest = rest[match.end() :]
    rest = rest.partition("?")[0]
    if not rest.startswith("//"):
        return ""
    authority, _, path = rest[2:].partition("/")
    user, _, host = authority.rpartition("@")
    after = host.rpartition("]")[2] if host.startswith("[") else host
    colon = after.rfind(":")
    port = after[colon:] if colon >= 0 else ""
    ok = _USER.fullmatch(user) and _HOST.fullmatch(host) and _PORT.fullmatch(port)
    if not ok or _BAD_ESCAPE.search(user + path) or (host.startswith("[") and "]" not in host):
        return ""
    return host.removeprefix("www.")
