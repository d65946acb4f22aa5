"""The benchmarks still run. What they say is looked at by people; here the input is too small to say anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

ROOT = Path(__file__).resolve().parents[2]


def run_bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.slow
def test_tiny_run_measures_every_figure_checks_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    work = tmp_path / "work"
    done = run_bench("--tiny", "--folder", str(work), "--json", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["tiny"]
    assert result["machine"]["synchronous"] == "full"
    assert list(result["figures"]) == [
        *(
            "a1",
            "a8",
            "aw1",
            "aw8",
            "b1",
            "b4",
            "h",
            "lf",
            "ln",
            "c",
            "ca",
            "d1",
            "d8",
            "e",
            "f",
            "t",
            "qif",
            "a1q",
            "g",
        ),
        *("i1", "i1p99", "i1all", "i200", "fan", "start", "idle", "full", "conn", "seal", "login"),
        *("mset", "msets", "mrow", "mrows"),
        *(f"p{i}" for i in range(1, 17)),
        *("pall", "pcol"),
    ]
    for name, figure in result["figures"].items():
        # On a busy machine readers may have a datapoint before whoever inserted it has the answer.
        least = 0.0 if name in ("i1", "i200") else 1e-9
        assert least <= figure["min"] <= figure["median"] <= figure["max"], name
        assert all(floor["ratio"] > 0 for floor in figure["floors"].values()), name
        assert figure["title"] in done.stdout
    assert result["figures"]["lf"]["digest"] == result["figures"]["ln"]["digest"] != ""
    assert "" not in {result["figures"][name]["digest"] for name in ("aw1", "aw8", "h", "ca", "seal", "conn")}
    assert "tiny input" in done.stdout
    for key, program, compared in (
        ("influxdb", "influxd", {"a1", "a8", "aw8", "b1", "b4", "h", "c", "ca", "d1", "d8", "e", "f", "g", "start"}),
        ("victoriametrics", "victoria-metrics", {"a1", "b4", "h", "c", "ca", "d8", "e", "f", "g", "full"}),
    ):
        assert (program in result["machine"]["left out"]) is (shutil.which(program) is None)
        having = {name for name, figure in result["figures"].items() if key in figure["floors"]}
        assert (compared <= having) if shutil.which(program) else not having
    assert list(work.iterdir()) == []


def test_only_the_figures_asked_for_are_measured(tmp_path: Path) -> None:
    done = run_bench(
        *("--tiny", "--no-peers", "--only", "a1", "--runs", "2", "--folder", str(tmp_path / "work")),
        CONNECTORDB_LOG__REQUESTS="false",
    )
    assert done.returncode == 0, done.stderr
    assert "a1: durable single inserts" in done.stdout
    assert "a8:" not in done.stdout
    assert "run 2 of 2" in done.stderr
    assert "CONNECTORDB_LOG__REQUESTS=false" in done.stdout
    assert "left out influxd, victoria-metrics, postgres" in done.stdout


def test_unknown_figure_is_refused_with_the_names_that_there_are() -> None:
    done = run_bench("--only", "z9")
    assert done.returncode == 2
    assert "a1" in done.stderr


def test_wrong_result_ends_the_benchmark(bench_module: Callable[[str], Any]) -> None:
    workbench, points = bench_module("workbench"), bench_module("points").Points(10)
    right = bench_module("points").digest([points.json(0, 10)])
    assert workbench.check_digest("x", right, [points.json(0, 10)]) == right
    with pytest.raises(workbench.WrongResult):
        workbench.check_digest("x", right, [points.json(0, 9)])


def test_digest_sees_the_data_and_not_how_it_is_written(bench_module: Callable[[str], Any]) -> None:
    digest = bench_module("points").digest
    assert digest([b'[{"t":1.5,"d":2.25}]']) == digest([b'[ {"d": 2.250, "t": 15e-1} ]'])
    assert digest([b'[{"t":1.5,"d":2.25}]']) != digest([b'[{"t":1.5,"d":2.26}]'])
    assert digest([b"[]", b'[{"t":1,"d":1}]']) != digest([b'[{"t":1,"d":1}]', b"[]"])


def test_rate_counts_only_while_all_clients_are_at_it(bench_module: Callable[[str], Any]) -> None:
    timing = bench_module("timing")
    early = timing.Timed(array("d", [0.0, 1.0, 2.0, 3.0]), array("d", [1.0, 2.0, 3.0, 4.0]))
    late = timing.Timed(array("d", [2.0, 4.0]), array("d", [4.0, 6.0]))
    assert timing.rate([early, late]) == 3 / 2  # from 2 to 4: two of the first, one of the second
    assert timing.rate([late]) == 2 / 4


def test_chunked_answer_is_put_together(bench_module: Callable[[str], Any]) -> None:
    answer = bench_module("exchange").Answer(b"3\r\nabc\r\n2;x=y\r\n\r\n\r\n0\r\n\r\n", True)
    assert answer.body() == b"abc\r\n"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_messages_are_found_in_frames_however_they_are_cut(bench_module: Callable[[str], Any], size: int) -> None:
    websocket = bench_module("websocket")
    server = ServerProtocol(state=State.OPEN)
    messages = [b"x" * size, b"end"]
    for message in messages:
        server.send_text(message)
    data = b"".join(server.data_to_send())
    assert websocket.decode_frames(data) == (messages, b"")
    for cut in (1, 3, len(data) - 1):
        first, rest = websocket.decode_frames(data[:cut])
        assert first + websocket.decode_frames(rest + data[cut:])[0] == messages


@pytest.mark.parametrize("size", [0, 125, 126, 65_536])
def test_frames_of_the_load_are_those_of_a_client(bench_module: Callable[[str], Any], size: int) -> None:
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(bench_module("websocket").encode_frame(b"x" * size))
    [frame] = server.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, bytes(frame.data)) == (Opcode.TEXT, b"x" * size)


def test_goodbye_of_the_server_is_an_error_and_a_ping_is_none(bench_module: Callable[[str], Any]) -> None:
    decode_frames = bench_module("websocket").decode_frames
    server = ServerProtocol(state=State.OPEN)
    server.send_ping(b"")
    assert decode_frames(b"".join(server.data_to_send())) == ([], b"")
    server.send_close(1012, "restart")
    with pytest.raises(OSError, match="restart"):
        decode_frames(b"".join(server.data_to_send()))


@pytest.mark.parametrize(
    "messages",
    [
        [b'{"i":0,"data":[{"t":1,"d":1}]}\n', b'{"i":2,"data":[{"t":3,"d":3}]}\n'],
        [b'{"i":1,"data":[{"t":1,"d":1}]}\n'],
        [b'{"notice":"lag","n":3}\n'],
        [b'{"i":0,"data":[]}\n'],
        [b'{"i":0,"data":[{"t":1,"d":1},{"t":2,"d":2}]}\n'],
    ],
)
def test_delivery_that_is_not_the_next_single_datapoint_ends_the_benchmark(
    bench_module: Callable[[str], Any], messages: list[bytes]
) -> None:
    with pytest.raises(OSError, match="is not the next datapoint"):
        bench_module("readers").join_points(messages)


def test_deliveries_make_an_array_with_indices_or_without(bench_module: Callable[[str], Any]) -> None:
    join_points = bench_module("readers").join_points
    texts = [b'{"t":1,"d":1}', b'{"t":2,"d":2}']
    assert join_points([b'{"i":%d,"data":[%s]}\n' % one for one in enumerate(texts)]) == b"[" + b",".join(texts) + b"]"
    assert join_points([b'{"data":[%s]}\n' % text for text in texts]) == b"[" + b",".join(texts) + b"]"


def test_each_insert_over_a_websocket_has_to_be_answered_once_and_well(bench_module: Callable[[str], Any]) -> None:
    answer_times = bench_module("pipeline").answer_times
    server = ServerProtocol(state=State.OPEN)

    def frames(*texts: str) -> bytes:
        for text in texts:
            server.send_text(text.encode())
        return b"".join(server.data_to_send())

    ok = '{"id":%d,"ok":true}\n'
    chunks = [frames(ok % 1)[:-3], frames(ok % 1)[-3:] + frames(ok % 0)]
    assert list(answer_times(chunks, array("d", [1.0, 2.0]), 2)) == [2.0, 2.0]
    for wrong in (frames(ok % 0), frames(ok % 0, ok % 0), frames(ok % 0, '{"id":1,"code":403}\n'), frames(ok % 2)):
        with pytest.raises(OSError, match="answered"):
            answer_times([wrong], array("d", [1.0]), 2)
