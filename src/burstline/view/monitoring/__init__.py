"""What is given to Prometheus and Grafana beside metrics: alert rules and a dashboard."""

from __future__ import annotations

from pathlib import Path

ALERTS = Path(__file__).parent / "alerts.yml"
DASHBOARD = Path(__file__).parent / "grafana.json"
