"""Sphinx's settings: MyST Markdown, the furo theme, tables made from the source."""

import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "burstline"
author = "burstline contributors"
copyright = author
try:
    release = installed("burstline")
except PackageNotFoundError:  # a checkout on PYTHONPATH
    release = ""
extensions = ["myst_parser", "tables"]
exclude_patterns = ["_build", "_ext"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"burstline {release}".strip()
nitpicky = True
