"""Runs are started and looked at as in the tests of processes and plugins."""

from __future__ import annotations

from tests.plugins.conftest import site
from tests.process.conftest import marker, mouth, run_dir, supervise

__all__ = ["marker", "mouth", "run_dir", "site", "supervise"]
