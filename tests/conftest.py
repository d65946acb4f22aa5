"""Fixtures that several folders of tests share."""

from __future__ import annotations

import sys
from pathlib import Path

# The helpers beside this file are no package, as the test folders are none.
sys.path.insert(0, str(Path(__file__).parent))
