"""History that goes into a stream which is live already, as often as one likes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from connectordb import InvalidValue, Stream

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
YEARS_S = 10 * 365 * 86_400
STEP_S = 6 * 3600
BEGIN = 1_400_000_000.5


def test_ten_years_of_history_go_into_a_live_stream(
    any_values: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/formats.md says."""
    history = [{"t": BEGIN + s, "d": round(20 + s / 7e6, 3)} for s in range(0, YEARS_S, STEP_S)]
    live = [{"t": BEGIN + YEARS_S + i, "d": i} for i in range(3)]
    n = len(history)
    pd.DataFrame(history[: n * 6 // 10 : 2]).to_csv(tmp_path / "2014-2019.csv", index=False)
    pd.DataFrame(history[: n * 4 // 10 : -2]).to_csv(tmp_path / "2019-2024.csv", index=False)
    (tmp_path / "watch.json").write_text(json.dumps(history))
    monkeypatch.chdir(tmp_path)
    (code,) = [found for found in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "watch.json" in found]

    any_values.insert_array(live[:1])
    for i in (1, 2, 3):
        exec(code, {"db": lambda path: any_values})
        assert any_values[:] == history + live[:i]
        any_values.insert_array(live[i : i + 1])


def test_each_datapoint_is_compared(any_values: Stream) -> None:
    any_values.insert_array([{"t": 1, "d": 1}, {"t": 1, "d": "1"}, {"t": 2, "d": {"a": 1, "b": None}}])
    any_values.insert_array(
        [{"t": 2, "d": {"b": None, "a": 1.0}}, {"t": 1, "d": True}, {"t": 1, "d": 1.0}], merge=True, duplicates="skip"
    )
    assert any_values[:].d() == [1, "1", True, {"a": 1, "b": None}]


def test_it_goes_with_merge_only(any_values: Any) -> None:
    for more in ({}, {"restamp": True}):
        with pytest.raises(InvalidValue, match="merge=True"):
            any_values.insert_array([], duplicates="skip", **more)
    with pytest.raises(ValueError, match="'drop'"):
        any_values.insert_array([], merge=True, duplicates="drop")
