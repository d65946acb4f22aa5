"""``python -m bench``: measure, check, print."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from .catalogue import FIGURES
from .machine import describe
from .report import summarise, table
from .scenarios import SCENARIOS
from .workbench import FULL, TINY, Sample, Workbench, WrongResult

RUNS = 5
LONG_POINTS = 10_000_000
FOLDER = Path(".cache/bench")
NOT_A_DISK = {"tmpfs", "ramfs"}


def _arguments() -> argparse.Namespace:
    names = [figure.name for figure in FIGURES]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure ConnectorDB against floors of the same round. Durable inserts, unless it says otherwise.",
        epilog="The server has its default settings, or what the environment says, as CONNECTORDB_LOG__REQUESTS=false.",
    )
    parser.add_argument("--tiny", action="store_true", help="with next to no data: shows that it works, not how fast")
    parser.add_argument("--long", action="store_true", help="memory of datasets over 10,000,000 points, not 2,000,000")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"only these of {', '.join(names)}")
    parser.add_argument("--runs", type=int, help=f"rounds; default {RUNS}, with --tiny 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where to work: on the disk to be measured; default %(default)s"
    )
    arguments = parser.parse_args()
    if arguments.runs is None:
        arguments.runs = 1 if arguments.tiny else RUNS
    if arguments.runs < 1:
        parser.error("--runs: at least 1")
    return arguments


def _main() -> int:
    arguments = _arguments()
    wanted = set(arguments.only or [figure.name for figure in FIGURES])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    machine = describe(arguments.folder)
    if machine["filesystem"] in NOT_A_DISK:
        print(f"{arguments.folder} is no disk but {machine['filesystem']}: nothing will be durable", file=sys.stderr)
    sizes = TINY if arguments.tiny else replace(FULL, dataset_points=LONG_POINTS) if arguments.long else FULL
    bench = Workbench(arguments.folder, sizes)
    samples: dict[str, list[Sample]] = {}
    syncs: list[float] = []
    begun = time.time()
    for run in range(1, arguments.runs + 1):
        syncs.append(bench.syncs())
        for names, measure in SCENARIOS:
            if not names & wanted:
                continue
            print(f"run {run} of {arguments.runs}: {', '.join(sorted(names & wanted))}", file=sys.stderr)
            try:
                measured = measure(bench)
            except WrongResult as error:
                print(f"WRONG RESULT: {error}", file=sys.stderr)
                return 1
            for name in names & wanted:
                samples.setdefault(name, []).append(measured[name])
    machine["fdatasync_per_s"] = median(syncs)
    summary = summarise(samples)
    print(", ".join(f"{key} {value}" for key, value in _shown(machine).items()))
    size = "tiny input: the figures mean nothing" if arguments.tiny else f"median, min and max of {arguments.runs} runs"
    print(f"python -m bench {' '.join(sys.argv[1:])}: {size}, {time.time() - begun:.0f} s\n")
    print(table(summary, meaningful=not arguments.tiny))
    if arguments.json is not None:
        result = {
            "machine": machine,
            "arguments": sys.argv[1:],
            "begun": begun,
            "tiny": arguments.tiny,
            "figures": summary,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _shown(machine: dict[str, object]) -> dict[str, object]:
    return {
        key.replace("_", " "): f"{value:,.0f}" if key == "fdatasync_per_s" else value
        for key, value in machine.items()
        if value != []
    }


if __name__ == "__main__":
    sys.exit(_main())
