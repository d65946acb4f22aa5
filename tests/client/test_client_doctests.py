"""The examples in the docstrings, run against a real server."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import connectordb.client
import connectordb.compat
import connectordb.datapoints
import connectordb.frames

MODULES: list[ModuleType] = [
    connectordb.datapoints,
    connectordb.frames,
    connectordb.compat,
    *(
        importlib.import_module(f"connectordb.client.{found.name}")
        for found in pkgutil.iter_modules(connectordb.client.__path__)
    ),
]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for module in MODULES for test in finder.find(module) if test.examples]


def test_there_are_examples() -> None:
    assert {"ConnectorDB", "User", "Device", "Stream", "DatapointArray"} <= {
        t.name.rpartition(".")[2] for t in examples()
    }


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_example_gives_what_it_shows(test: doctest.DocTest, db: Any) -> None:
    test.globs = {**test.globs, "db": db}
    shown: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=shown.append, clear_globs=False)
    assert not runner.failures, "".join(shown)
