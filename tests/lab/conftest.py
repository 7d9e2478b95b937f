"""Tests on real drivers, in a machine of the lab (`make lab`); elsewhere they are not collected."""

from __future__ import annotations

import os

collect_ignore_glob = [] if "BURSTLINE_LAB" in os.environ else ["test_*.py"]
