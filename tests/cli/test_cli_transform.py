"""transform: scripts over files and standard input, without a database."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from connectordb.formats import FORMATS
from connectordb.pipescript import meta_interpolators, meta_transforms

from .conftest import COMMAND, TIMEOUT_S, environment

POINTS = [{"t": 1.0, "d": 3}, {"t": 2.0, "d": 7}, {"t": 3.0, "d": 6}]
ABOVE_5 = [{"t": 2.0, "d": 7}, {"t": 3.0, "d": 6}]
TEXTS = {
    "json": '[{"t":1.0,"d":3},{"t":2.0,"d":7},{"t":3.0,"d":6}]\n',
    "ndjson": '{"t":1.0,"d":3}\n{"t":2.0,"d":7}\n{"t":3.0,"d":6}\n',
    "csv": "t,d\r\n1.0,3\r\n2.0,7\r\n3.0,6\r\n",
}


class Folder:
    """A folder in which ``connectordb transform`` is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def read(self, name: str) -> str:
        return (self.path / name).read_bytes().decode()

    def run(self, *arguments: str | Path, given: str = "", code: int = 0, **environ: str) -> tuple[str, str]:
        """Return what it prints on standard output and standard error."""
        done = subprocess.run(
            [*COMMAND, "transform", *map(str, arguments)],
            cwd=self.path,
            env=environment(**environ),
            input=given.encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == code, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done.stdout.decode(), done.stderr.decode()

    def run_on_terminal(self, *arguments: str, code: int = 0) -> str:
        """Return what it shows on a terminal."""
        ours, theirs = pty.openpty()
        try:
            child = subprocess.Popen(
                [*COMMAND, "transform", *arguments],
                cwd=self.path,
                env=environment(TERM="dumb"),
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            shown = b""
            while select.select([ours], [], [], TIMEOUT_S)[0]:
                try:
                    more = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                if not more:
                    break
                shown += more
            assert child.wait(TIMEOUT_S) == code, shown.decode()
            return shown.decode()
        finally:
            os.close(ours)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def ndjson(points: Iterable[Any]) -> str:
    return "".join(json.dumps(point) + "\n" for point in points)


def decoded(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_file_is_read_by_its_extension(folder, name):
    folder.write(f"data.{name.upper()}", TEXTS[name])
    out, err = folder.run("if $ > 5", f"data.{name.upper()}")
    assert decoded(out) == ABOVE_5
    assert err == ""


@pytest.mark.parametrize("before", ["", "\ufeff", " \n\r\n\t"])
@pytest.mark.parametrize("name", ["json", "ndjson"])
def test_json_is_recognised(folder, name, before):
    assert decoded(folder.run("if $ > 5", given=before + TEXTS[name])[0]) == ABOVE_5


def test_a_file_is_recognised_without_an_extension(folder):
    folder.write("data", TEXTS["json"])
    assert decoded(folder.run("if $ > 5", "data")[0]) == ABOVE_5
    assert decoded(folder.run("if $ > 5", "-", given=TEXTS["csv"])[0]) == ABOVE_5


def test_blanks_longer_than_a_buffer_are_no_hindrance(folder):
    assert decoded(folder.run("if $ > 5", given="\n" * 300_000 + TEXTS["json"])[0]) == ABOVE_5


def test_what_is_not_recognised_is_asked_for(folder):
    assert "--from csv" in folder.run("count", given="time;value\n", code=1)[1]
    out, _ = folder.run("if $ > 5", "--from", "csv", given=TEXTS["csv"])
    assert decoded(out) == ABOVE_5


def test_no_datapoints_give_none(folder):
    assert folder.run("count") == ("", "")
    assert folder.run("count", "--to", "json")[0] == "[]\n"
    assert folder.run("count", "--to", "csv")[0] == "t,d\r\n"


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_formats_are_written_by_name_and_by_extension(folder, name):
    assert folder.run("$", "--to", name, given=TEXTS["json"])[0] == TEXTS[name]
    assert folder.run("$", "-o", f"out.{name}", given=TEXTS["json"]) == ("", "")
    assert folder.read(f"out.{name}") == TEXTS[name]


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_binary_formats_go_into_files_and_come_back(folder, name):
    pytest.importorskip("pyarrow")
    extension = FORMATS[name].extensions[0]
    folder.run("$", "-o", f"data{extension}", given=TEXTS["json"])
    assert decoded(folder.run("if $ > 5", f"data{extension}")[0]) == ABOVE_5
    with pytest.raises(UnicodeDecodeError):
        folder.read(f"data{extension}")
    (folder.path / f"data{extension}").rename(folder.path / "data")
    assert decoded(folder.run("if $ > 5", "data")[0]) == ABOVE_5
    assert "--output" in folder.run_on_terminal("$", "data", "--to", name, code=1)


def test_a_missing_library_is_named(folder):
    code = (
        "import sys\nsys.modules['pyarrow'] = None\nsys.argv = ['', 'transform', '$', '--to', 'arrow']\n"
        "from connectordb.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], input=TEXTS["json"], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_objects_get_a_column_for_each_field(folder):
    folder.write("w.csv", "t,in,out\r\n2024-02-29T12:00:00Z,5,a\r\n2024-02-29T13:00:00Z,7,\r\n")
    folder.run("if $['in'] > 5", "w.csv", "-o", "warm.csv")
    assert folder.read("warm.csv") == "t,in,out\r\n1709211600.0,7,\r\n"
    assert decoded(folder.run("$", "warm.csv")[0]) == [{"t": 1709211600.0, "d": {"in": 7, "out": None}}]
    assert folder.run("{'n': count, 'sum': sum}", "--to", "csv", given=TEXTS["json"])[0].startswith(
        "t,n,sum\r\n1.0,1,3"
    )
    # Without fields in common, and where they would hide the time, a value is JSON.
    assert folder.run("imap($, count)", "--to", "csv", given=TEXTS["json"])[0].startswith("t,d\r\n")
    assert folder.run("{'t': $}", "--to", "csv", given=TEXTS["json"])[0].startswith("t,d\r\n")


def test_what_does_not_fit_into_the_columns_is_an_error_and_not_dropped(folder):
    many = [{"t": n, "d": {"a": n}} for n in range(1, 20_000)]
    for odd in ({"b": 1}, 7, {"a": 1, "b": 2}):
        _, err = folder.run("$", "-o", "x.csv", given=ndjson([*many, {"t": 20_000, "d": odd}]), code=1)
        assert "datapoint 20000 of the result does not fit" in err
        assert list(folder.path.iterdir()) == []
    folder.run("$", "-o", "x.csv", given=ndjson([*many, {"t": 20_000, "d": {}}]))
    assert folder.read("x.csv").endswith("20000.0,\r\n")


def test_the_example_of_the_documentation_is_true(folder):
    page = (Path(__file__).parents[2] / "docs" / "pipescript.md").read_text("utf-8")
    (example,) = re.findall(r"^```\n\$ (echo .*)\n((?:\{.*\n)+)```$", page, re.M)
    command = example[0].replace("connectordb", shlex.join(COMMAND))
    done = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.stdout == example[1]


# --- the output file


@pytest.mark.parametrize("broken", ["data", "script"])
def test_an_error_leaves_the_output_as_it_was(folder, broken):
    last = {"t": 4.0, "d": "a"} if broken == "script" else {"t": 0.5, "d": 1}
    given = ndjson([*POINTS, last])
    folder.run("$ * 2", "-o", "out.json", given=given, code=1)
    assert list(folder.path.iterdir()) == []
    folder.write("out.json", "before")
    folder.run("$ * 2", "-o", "out.json", given=given, code=1)
    assert [path.name for path in folder.path.iterdir()] == ["out.json"]
    assert folder.read("out.json") == "before"


def test_a_file_can_take_its_own_place(folder):
    path = folder.write("data.ndjson", TEXTS["ndjson"])
    path.chmod(0o604)
    (folder.path / "link.ndjson").symlink_to("data.ndjson")
    folder.run("if $ > 5", "data.ndjson", "-o", "link.ndjson")
    assert decoded(folder.read("data.ndjson")) == ABOVE_5
    assert path.stat().st_mode & 0o777 == 0o604
    assert (folder.path / "link.ndjson").is_symlink()


def test_a_device_is_written_and_not_replaced(folder):
    assert decoded(folder.run("if $ > 5", "-o", "/dev/stdout", given=TEXTS["json"])[0]) == ABOVE_5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error(folder):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "transform", "$"],
            env=environment(),
            input=TEXTS["json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: [Errno 28] No space left on device\n"


# --- errors


def test_an_unreadable_script_is_shown_with_its_place(folder):
    out, err = folder.run("if $ > 5 | cuont", given=TEXTS["json"], code=2)
    assert out == ""
    lines = err.splitlines()
    assert "did you mean 'count'?" in lines[0]
    assert lines[1:] == ["    if $ > 5 | cuont", "               ^"]


def test_the_place_is_right_in_long_scripts_and_several_lines(folder):
    text = "'été 日本' + " * 20
    _, err = folder.run(f"count\n| {text}cuont + 1", code=2)
    line, caret = err.splitlines()[1:]
    assert line.startswith("    ...")
    assert len(line) < 120
    before = line[: line.index("cuont")]
    assert caret == " " * (len(before) + before.count("日") + before.count("本")) + "^"


def test_a_failing_stage_is_shown_with_its_datapoint(folder):
    given = ndjson([*POINTS, {"t": 4.0, "d": "high"}, {"t": 5.0, "d": 1}])
    out, err = folder.run("if $ != 3 | $ * 2", given=given, code=1)
    assert decoded(out) == [{"t": 2.0, "d": 14.0}, {"t": 3.0, "d": 12.0}]
    lines = err.splitlines()
    assert "datapoint 2, t = 4.0" in lines[0]
    assert "'$ * 2'" in lines[0]
    assert lines[1] == "    if $ != 3 | $ * 2"
    assert lines[2].endswith("^")


def test_an_array_that_was_begun_does_not_look_complete_after_an_error(folder):
    out, _ = folder.run("$ * 2", "--to", "json", given=ndjson([*POINTS, {"t": 4.0, "d": "a"}]), code=1)
    assert not out.rstrip().endswith("]")


def test_bad_input_is_told_with_its_line(folder):
    _, err = folder.run("count", given='{"t":1,"d":2}\n\n{"t":2,"d":\n', code=1)
    assert "standard input: line 3" in err
    folder.write("x.csv", "t,d\n1,2\nnever,3\n")
    assert "x.csv: line 3" in folder.run("count", "x.csv", code=1)[1]
    assert "datapoint 2" in folder.run("count", given='[{"t":1},{"t":"x"}]', code=1)[1]


def test_datapoints_out_of_order_are_refused(folder):
    many = [{"t": float(n), "d": n} for n in range(20_000)]
    folder.run("if last", given=ndjson([*many, {"t": 19_999.0, "d": 1}]))
    _, err = folder.run("if last", given=ndjson([*many, {"t": 19_998.0, "d": 1}]), code=1)
    assert "datapoint 20001 (t = 19998.0) is older than the one before it (t = 19999.0)" in err


def test_the_wrong_arguments_are_told(folder):
    folder.write("data.json", TEXTS["json"])
    assert "the script goes before it" in folder.run("data.json", code=2)[1]
    assert "no-such-file.json: No such file" in folder.run("count", "no-such-file.json", code=1)[1]
    assert "parquet" in folder.run("count", "--to", "xml", code=2)[1]
    assert "parquet" in folder.run("count", "--from", "xml", code=2)[1]
    assert "Nowhere/At_All" in folder.run("count", "--zone", "Nowhere/At_All", code=2)[1]
    assert "--list" in folder.run(code=2)[1]
    assert "--to" in folder.run("count", "data.json", "-o", "x.xlsx", code=2)[1]
    assert "there is no folder" in folder.run("count", "data.json", "-o", "nowhere/x.json", code=1)[1]
    assert "from a pipe" in folder.run("count", "--from", "parquet", given="PAR1", code=1)[1]


def test_the_time_zone_can_be_chosen(folder):
    given = '{"t":1709208000,"d":0}'  # noon in UTC
    assert decoded(folder.run("dayhour", "--zone", "Europe/Berlin", given=given)[0])[0]["d"] == 13
    assert decoded(folder.run("dayhour", given=given, TZ="America/New_York")[0])[0]["d"] == 7
    assert decoded(folder.run("dayhour('UTC')", "--zone", "Asia/Tokyo", given=given)[0])[0]["d"] == 12


# --- pipes, memory, imports


def test_it_ends_silently_when_nobody_reads_on(folder):
    folder.write("long.ndjson", ndjson({"t": n, "d": n} for n in range(200_000)))
    for arguments in (["$", "long.ndjson"], ["--list"]):
        with subprocess.Popen(
            [*COMMAND, "transform", *arguments],
            cwd=folder.path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            if "--list" not in arguments:
                assert child.stdout.readline()
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait(TIMEOUT_S) == 0


def test_datapoints_come_out_as_they_come_in(folder):
    with subprocess.Popen(
        [*COMMAND, "transform", "sum"],
        cwd=folder.path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for n in (1, 2, 3):
            child.stdin.write(b'{"t":%d,"d":%d}\n' % (n, n))
            assert select.select([child.stdout], [], [], TIMEOUT_S)[0], "nothing came"
            assert json.loads(child.stdout.readline()) == {"t": float(n), "d": n * (n + 1) / 2}
        child.stdin.close()
        assert child.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_is_stopped_leaves_no_file_behind(folder, signum):
    with subprocess.Popen(
        [*COMMAND, "transform", "sum", "-o", "out.ndjson"],
        cwd=folder.path,
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    ) as child:
        assert child.stdin is not None
        deadline = time.monotonic() + TIMEOUT_S
        while not list(folder.path.iterdir()):
            child.stdin.write(b'{"t":1,"d":1}\n')
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.send_signal(signum)
        assert child.wait(TIMEOUT_S) not in (0, None)
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_closed_standard_files_are_an_error(folder, closed):
    folder.write("x.json", TEXTS["json"])
    line = f'exec "$@" {closed}'
    arguments = ["$", "x.json"] if closed == ">&-" else ["$"]
    done = subprocess.run(
        ["sh", "-c", line, "sh", *COMMAND, "transform", *arguments],
        cwd=folder.path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1
    assert "is closed" in done.stderr
    assert "Traceback" not in done.stderr


PEAK = (
    "import sys\nfrom connectordb.cli import main\n"
    "try:\n    main()\nfinally:\n"
    "    peak = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')]\n"
    "    print(*peak, file=sys.stderr)"
)
"""Runs the command line and prints the memory in KiB that it had at most."""


def peak_bytes(folder: Folder, *arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PEAK, "transform", *arguments],
        cwd=folder.path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_memory_does_not_grow_with_the_file(folder, name):
    peaks = []
    for n in (20_000, 500_000):
        points = ((1.7e9 + i, i % 100 + 0.25) for i in range(n))
        with (folder.path / f"data.{name}").open("w") as file:
            if name == "csv":
                file.write("t,d\n")
                file.writelines(f"{t},{d}\n" for t, d in points)
            else:
                between, begin, end = (",\n", "[", "]") if name == "json" else ("\n", "", "\n")
                file.write(begin)
                file.writelines((between if i else "") + f'{{"t":{t},"d":{d}}}' for i, (t, d) in enumerate(points))
                file.write(end)
        peaks.append(peak_bytes(folder, "$ - mean", f"data.{name}", "-o", f"out.{name}"))
        assert (folder.path / f"out.{name}").stat().st_size > 10 * n
    assert peaks[1] - peaks[0] < 6 * 1024 * 1024


def test_heavy_modules_are_imported_only_when_needed(folder):
    code = (
        "import sys\nfrom connectordb.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*[m for m in sys.modules if m.startswith(('connectordb.', 'numpy', 'pyarrow', 're2', 'uvicorn'))])"
    )

    def loaded(*arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            env=environment(),
            cwd=folder.path,
            input=TEXTS["json"],
            capture_output=True,
            text=True,
        )
        return set(done.stdout.splitlines()[-1].split())

    for module in ("numpy", "pyarrow", "connectordb.pipescript", "connectordb.formats", "connectordb.server"):
        assert module not in loaded("--help"), module
    modules = loaded("transform", "count")
    assert "connectordb.pipescript" in modules
    assert not {"connectordb.server", "pyarrow", "re2", "uvicorn"} & modules


# --- what there is, and what a script does


def test_everything_is_listed(folder):
    out, _ = folder.run("--list")
    lines = out.splitlines()
    names = {line.split()[0].partition("(")[0].partition("[")[0] for line in lines if line}
    assert {*meta_transforms(), *meta_interpolators()} <= names
    (line,) = [line for line in lines if line.startswith("mean ") and "running" not in line][:1]
    assert len(line.split(None, 1)) == 2


def test_the_list_fits_a_terminal(folder):
    shown = folder.run_on_terminal("--list")
    assert "bucket(size = 10, start = 0)" in shown
    assert "\x1b" not in shown


def test_one_is_listed_with_all_there_is_to_say(folder):
    out, _ = folder.run("--list", "bucket")
    assert out.startswith("bucket(size = 10, start = 0)\n")
    assert "size (number, constant, 10 if left out)" in out
    assert '  out  "[0,5)", "[5,10)"' in out
    out, _ = folder.run("--list", "count")  # both a transform and an interpolator
    assert "  in   " in out
    assert "  stream  " in out
    assert "did you mean 'mean'?" in folder.run("--list", "mena", code=1)[1]


def test_a_script_is_explained(folder):
    out, _ = folder.run("--explain", "if $>5|next-$|$['a']|if last")
    assert out.startswith('Read as: if($ > 5) | next - $ | $["a"] | if(last)\n')
    stages = [part.splitlines() for part in out.split("\n\n")[1:]]
    assert [stage[0] for stage in stages] == ["1. if($ > 5)", "2. next - $", '3. $["a"]', "4. if(last)"]
    assert "   gives fewer datapoints than it gets" in stages[0]
    assert "   has to wait for later datapoints" in stages[1]
    assert "   works row by row" in stages[2]
    assert any("came last" in line for line in stages[3])
    assert "did you mean" in folder.run("--explain", "cuont", code=2)[1]
    assert "   worked out only for the last datapoint" in folder.run("--explain", "mean | if last")[0]


def test_a_constant_is_explained(folder):
    assert "what stands before it is not worked out" in folder.run("--explain", "count | 5")[0]
    assert "not worked out" not in folder.run("--explain", "5 | $ + 1")[0]
