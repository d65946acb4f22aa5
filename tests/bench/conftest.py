from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name: str) -> Any:
        return __import__(f"bench.{name}", fromlist=[name])

    return load
