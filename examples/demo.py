"""The main job, end to end, with real data: log, lose the server, get it back, read, compare.

    make demo

A Logger logs measurements of this machine for some ten seconds. In the middle the server is stopped and started
again, while logging goes on. Then a second client reads everything back, and what it finds is compared with what was
logged: nothing may be missing, nothing may be there twice. Exits with 0 if that is so.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from connectordb import ConnectorDB
from connectordb.logger import Logger

NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
COUNTERS = {
    "type": "object",
    "properties": {"read": INTEGER, "written": INTEGER},
    "required": ["read", "written"],
}
SAMPLE_PERIOD_S = 0.1
PLOT_WIDTH = 16

console = Console(highlight=False)


def measure() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield stream, schema and value for each thing that this machine can tell about itself."""
    yield "cpu_load", NUMBER, psutil.cpu_percent()
    yield "memory_used", INTEGER, psutil.virtual_memory().used
    if net := psutil.net_io_counters():
        yield "network", COUNTERS, {"read": net.bytes_recv, "written": net.bytes_sent}
    if disk := psutil.disk_io_counters():
        yield "disk", COUNTERS, {"read": disk.read_bytes, "written": disk.write_bytes}
    temperatures = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    for chip, sensors in temperatures.items():
        for i, sensor in enumerate(sensors):
            name = "".join(c if c.isalnum() else "_" for c in f"temperature_{chip}_{i}")[:29]
            yield name, NUMBER, sensor.current


def connectordb(*arguments: str) -> None:
    """Run the command ``connectordb``, as a user would."""
    console.print(f"[bold]$ connectordb {' '.join(arguments)}[/bold]")
    subprocess.run([sys.executable, "-m", "connectordb", *arguments], check=True)


def free_port(wanted: int) -> int:
    """Return *wanted* if nothing listens there, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no free port on this machine")


def sparkline(values: list[float]) -> str:
    """Return a plot of *values*, one line high."""
    step = max(1, -(-len(values) // PLOT_WIDTH))
    shown = [max(values[i : i + step]) for i in range(0, len(values), step)]
    low, high = min(shown), max(shown)
    return "".join("▁▂▃▄▅▆▇█"[int(7 * (v - low) / (high - low)) if high > low else 0] for v in shown)


def plot(stored: list[tuple[float, Any]]) -> str:
    """Return a plot of numbers as they are, and of counters by how much they grow."""
    if not isinstance(stored[0][1], dict):
        return sparkline([float(d) for _, d in stored])
    sums = [float(sum(d.values())) for _, d in stored]
    return sparkline([after - before for before, after in pairwise(sums)] or [0.0])


def short(value: Any) -> str:
    """Return *value* in few characters."""
    if isinstance(value, dict):
        return " / ".join(short(v) for v in value.values())
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:g}"


def lose_server(database: str, port: int, away_s: float) -> None:
    """Stop the server, and start it again after a while."""
    connectordb("stop", database)
    time.sleep(away_s)
    connectordb("start", database, "--port", str(port))


def log_measurements(logger: Logger, seconds: float, database: str, port: int) -> dict[str, list[tuple[float, Any]]]:
    """Log for that long, with the server away for a while in the middle. Return what was logged, by stream."""
    logged: dict[str, list[tuple[float, Any]]] = defaultdict(list)
    outage = threading.Timer(seconds * 0.35, lose_server, (database, port, seconds * 0.3))
    outage.start()
    end = time.monotonic() + seconds
    waiting_max = 0
    while time.monotonic() < end:
        t = time.time()
        batch: dict[str, list[dict[str, Any]]] = {}
        for name, schema, value in measure():
            if name not in logger:
                logger.add_stream(name, schema)
            batch[name] = [{"t": t, "d": value}]
            logged[name].append((t, value))
        logger.insert_many(batch)
        waiting_max = max(waiting_max, len(logger))
        time.sleep(SAMPLE_PERIOD_S)
    outage.join()
    console.print(f"  (while the server was away, up to {waiting_max} datapoints waited in the Logger's file)")
    return logged


def compare(db: ConnectorDB, logged: dict[str, list[tuple[float, Any]]]) -> bool:
    """Show what the server has, and tell whether it is exactly what was logged."""
    table = Table(box=box.SIMPLE)
    for heading in ("stream", "points", "newest", "value", "plot", "same"):
        table.add_column(heading, no_wrap=True)
    right = True
    for stream in db("demo/machine").streams():
        stored = [(dp["t"], dp["d"]) for dp in stream.iter()]
        same = stored == logged[stream.name]
        right = right and same
        newest = datetime.fromtimestamp(stored[-1][0]).strftime("%H:%M:%S") if stored else ""
        value, line = (short(stored[-1][1]), plot(stored)) if stored else ("", "")
        table.add_row(stream.name, str(len(stored)), newest, value, line, "yes" if same else "[red]NO[/red]")
    console.print(table)
    missing = set(logged) - {stream.name for stream in db("demo/machine").streams()}
    if missing:
        console.print(f"[red]missing streams: {', '.join(sorted(missing))}[/red]")
    return right and not missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to log (default: 10)")
    parser.add_argument(
        "--folder", type=Path, default=Path("demo"), help="where to work; emptied first (default: demo)"
    )
    parser.add_argument("--port", type=int, default=3124, help="another one is taken if it is in use (default: 3124)")
    options = parser.parse_args()
    # That the server is away is no surprise here.
    logging.getLogger("connectordb").setLevel(logging.CRITICAL)

    database, spool = options.folder / "db", options.folder / "spool.db"
    if database.exists():
        subprocess.run([sys.executable, "-m", "connectordb", "stop", str(database)], capture_output=True, check=False)
    if options.folder.exists() and (database / "connectordb.toml").exists():
        shutil.rmtree(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    port = free_port(options.port)
    url = f"http://localhost:{port}"

    connectordb("create", str(database), "--user", "demo:demo")
    connectordb("start", str(database), "--port", str(port))
    try:
        with ConnectorDB("demo", "demo", url=url) as db:
            machine = db("demo/machine")
            machine.create(description="Measurements of this machine")
            apikey = machine.apikey

        console.print(f"\nLogging measurements of this machine for {options.seconds:g} s …")
        with Logger(str(spool), apikey=apikey) as logger:
            logger.serverurl = url
            logger.sync_period_s = 1
            logger.start()
            logged = log_measurements(logger, options.seconds, str(database), port)
            logger.stop()
            logger.sync()
            waiting = len(logger)

        console.print("\nReading everything back, with another client …")
        with ConnectorDB("demo", "demo", url=url) as db:
            right = compare(db, logged) and waiting == 0
    finally:
        connectordb("stop", str(database))

    total = sum(len(points) for points in logged.values())
    if not right:
        console.print(f"[red]What is stored is not what was logged ({waiting} datapoints still wait).[/red]")
        return 1
    console.print(f"[green]All {total} datapoints of {len(logged)} streams are there exactly once.[/green]\n")
    console.print("Go on from here (connectordb is in .venv/bin: `source .venv/bin/activate` puts it on the path):")
    console.print(f"  connectordb start {database} --port {port}")
    console.print(f"      then see {url}/api/v1/docs (user demo, password demo)", soft_wrap=True)
    console.print(f"  connectordb export {database} backup")
    console.print("      everything, as folders of JSON")
    console.print("  connectordb --help")
    console.print("      and the quick start in README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
