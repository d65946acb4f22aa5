"""Put figures into docs/performance.md, so that none is copied by hand.

python -m bench --json bench/figures.json
python -m bench.page
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .report import markdown

__all__ = ["FIGURES", "PAGE", "fill"]

FIGURES = Path(__file__).parent / "figures.json"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def fill(page: str, figures: str) -> str:
    """Return *page* with *figures*, which ``--json`` has written, between its marks."""
    before, _, rest = page.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"the page does not have the marks {_BEGIN.strip()} and {_END.strip()}")
    result = json.loads(figures)
    if result["tiny"]:
        raise ValueError("these figures are of tiny input: they mean nothing")
    return f"{before}{_BEGIN}{markdown(result)}{_END}{after}"


def _main() -> int:
    try:
        PAGE.write_text(fill(PAGE.read_text(), FIGURES.read_text()))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
