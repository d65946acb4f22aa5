"""``python -m bench``: measure, check, print."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from .against import AGAINST, installed
from .catalogue import FIGURES, PEERS
from .machine import describe, shown
from .peers import Peer, PeerError
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
    parser.add_argument(
        "--no-peers",
        action="store_true",
        help="leave other databases out; else those that are installed (InfluxDB 1.x, VictoriaMetrics, PostgreSQL) are "
        "started, on this machine only and in folders of their own, do the same in the same round, and are stopped",
    )
    parser.add_argument(
        "--growth", action="store_true", help="instead of all this: curves over the amount of data; see --growth --help"
    )
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
    if "--growth" in sys.argv:
        from . import growth  # another program with other arguments, which needs polars

        return growth.main([argument for argument in sys.argv[1:] if argument != "--growth"])
    arguments = _arguments()
    wanted = set(arguments.only or [figure.name for figure in FIGURES])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    machine = describe(arguments.folder)
    peers = [] if arguments.no_peers else installed()
    machine["peers"] = [peer.version() + ("" if peer.durable else " (not durable)") for peer in peers]
    machine["left out"] = [peer.program for peer in AGAINST if peer not in peers]
    if machine["filesystem"] in NOT_A_DISK:
        print(f"{arguments.folder} is no disk but {machine['filesystem']}: nothing will be durable", file=sys.stderr)
    sizes = TINY if arguments.tiny else replace(FULL, dataset_points=LONG_POINTS) if arguments.long else FULL
    bench = Workbench(arguments.folder, sizes)
    samples: dict[str, list[Sample]] = {}
    syncs: list[float] = []
    begun = time.time()
    for run in range(1, arguments.runs + 1):
        syncs.append(bench.syncs())
        try:
            measured = _round(bench, wanted, peers, f"run {run} of {arguments.runs}")
        except WrongResult as error:
            print(f"WRONG RESULT: {error}", file=sys.stderr)
            return 1
        for name, sample in measured.items():
            samples.setdefault(name, []).append(sample)
    machine["fdatasync_per_s"] = median(syncs)
    summary = summarise(samples)
    print(shown(machine))
    size = "tiny input: the figures mean nothing" if arguments.tiny else f"median, min and max of {arguments.runs} runs"
    print(f"python -m bench {' '.join(sys.argv[1:])}: {size}, {time.time() - begun:.0f} s\n")
    print(table(summary, meaningful=not arguments.tiny))
    if arguments.json is not None:
        result = {
            "machine": machine,
            "arguments": sys.argv[1:],
            "begun": begun,
            "runs": arguments.runs,
            "tiny": arguments.tiny,
            "figures": summary,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _round(bench: Workbench, wanted: set[str], peers: list[type[Peer]], title: str) -> dict[str, Sample]:
    """Measure once what is wanted; each peer does the same right afterwards."""
    measured: dict[str, Sample] = {}
    to_come = [(peer, *one) for peer in peers for one in AGAINST[peer]]
    for names, measure in SCENARIOS:
        if not names & wanted:
            continue
        print(f"{title}: {', '.join(sorted(names & wanted))}", file=sys.stderr)
        found = measure(bench)
        measured |= {name: found[name] for name in names & wanted}
        for one in [one for one in to_come if one[1] & wanted and one[1] & wanted <= measured.keys()]:
            to_come.remove(one)
            peer, compared, measure_peer = one
            compared &= wanted
            print(f"{title}: {', '.join(sorted(compared))} of {PEERS[peer.key]}", file=sys.stderr)
            try:
                found_beside = measure_peer(bench, peer)
            except PeerError as error:  # what was measured of it in other rounds does not count then
                print(f"{title}: without {PEERS[peer.key]}: {error}", file=sys.stderr)
                continue
            for name, beside in found_beside.items():
                if name in compared:
                    measured[name].floors |= beside
    return measured


if __name__ == "__main__":
    sys.exit(_main())
