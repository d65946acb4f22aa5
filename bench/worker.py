"""A child process: takes a task from its standard input, gets ready, waits for the word, works, and hands back."""

from __future__ import annotations

import pickle
import sys

__all__: list[str] = []


def _main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    task = pickle.load(source)

    def ready() -> None:
        sink.write(b"ready\n")
        sink.flush()
        if not source.readline():
            sys.exit("the benchmark ended before this worker began")

    pickle.dump(task(ready), sink)
    sink.flush()


if __name__ == "__main__":
    _main()
