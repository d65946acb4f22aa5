"""Fixtures that several folders of tests share."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# The helpers beside this file are no package, as the test folders are none.
sys.path.insert(0, str(Path(__file__).parent))

# How long an example takes tells of the machine, and of what else runs there: tests have a time limit of their own.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
