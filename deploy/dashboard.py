"""``python -m deploy.dashboard > deploy/grafana/dashboards/spoton.json``: Grafana's page about SpotOn.

The names in the queries are those of ``orchestrator.metrics``, ``api.metrics`` and Triton; tests hold them together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = 24
"""Of Grafana's grid."""
HEIGHT = 8
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WINDOW = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph."""

    title: str
    unit: str
    """A unit as Grafana spells it."""
    queries: tuple[tuple[str, str], ...]
    """Each PromQL and the legend of its lines."""
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under one title."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "", where: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{where}[{WINDOW}]))"


def _quantile(share: float, histogram: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{histogram}_bucket', f'le, {by}')})"


def _per_request(total_us: str) -> str:
    """Mean seconds that a request spends in what ``total_us`` adds up, by model."""
    return f"{_rate(total_us, 'model')} / {_rate('nv_inference_request_success', 'model')} / 1e6"


ROWS = (
    Row(
        "State",
        (
            Panel("Parts that answer", "none", (("up", "{{job}} {{instance}}"),), "stat"),
            Panel("Alerts", "none", (('ALERTS{alertstate="firing"}', "{{alertname}} {{instance}}"),), "stat"),
            Panel(
                "Tasks ended in a day",
                "none",
                (("sum by (status) (increase(spoton_tasks_total[1d]))", "{{status}}"),),
                "stat",
            ),
        ),
    ),
    Row(
        "Worker",
        (
            Panel("Frames processed", "fps", ((_rate("spoton_frames_total", "camera"), "{{camera}}"),)),
            Panel(
                "People in a frame",
                "none",
                (
                    (
                        f"{_rate('spoton_tracks_seen_total', 'camera')} / {_rate('spoton_frames_total', 'camera')}",
                        "{{camera}}",
                    ),
                ),
            ),
            Panel(
                "Time of a tick in each stage, p95",
                "s",
                ((_quantile(0.95, "spoton_stage_seconds", "stage"), "{{stage}}"),),
            ),
        ),
    ),
    Row(
        "Inference",
        (
            Panel(
                "Requests",
                "reqps",
                (
                    (_rate("nv_inference_request_success", "model"), "{{model}}"),
                    (_rate("nv_inference_request_failure", "model"), "{{model}} failed"),
                ),
            ),
            Panel(
                "Mean time of a request",
                "s",
                (
                    (_per_request("nv_inference_queue_duration_us"), "{{model}} waits"),
                    (_per_request("nv_inference_compute_infer_duration_us"), "{{model}} computes"),
                ),
            ),
            Panel(
                "Mean batch",
                "none",
                (
                    (
                        f"{_rate('nv_inference_count', 'model')} / {_rate('nv_inference_exec_count', 'model')}",
                        "{{model}}",
                    ),
                ),
            ),
            Panel("GPU busy", "percentunit", (("nv_gpu_utilization", "{{gpu_uuid}}"),)),
            Panel("GPU memory", "bytes", (("nv_gpu_memory_used_bytes", "{{gpu_uuid}}"),)),
        ),
    ),
    Row(
        "API",
        (
            Panel("Requests", "reqps", ((_rate("spoton_api_request_seconds_count", "handler"), "{{handler}}"),)),
            Panel(
                "Time to the answer, p99",
                "s",
                ((_quantile(0.99, "spoton_api_request_seconds", "handler"), "{{handler}}"),),
            ),
            Panel(
                "Refused and failed",
                "reqps",
                ((_rate("spoton_api_request_seconds_count", "status", '{status=~"[45].."}'), "{{status}}"),),
            ),
            Panel("WebSocket clients", "none", (("spoton_api_websocket_clients", "{{instance}}"),)),
            Panel(
                "WebSocket messages",
                "cps",
                (
                    (_rate("spoton_api_websocket_messages_total"), "sent"),
                    (_rate("spoton_api_websocket_slow_total"), "clients sent away"),
                ),
            ),
            Panel("Video sent", "Bps", ((_rate("spoton_api_media_bytes_total", "instance"), "{{instance}}"),)),
        ),
    ),
    Row(
        "Processes",
        (
            Panel(
                "Processor time",
                "percentunit",
                ((_rate("process_cpu_seconds_total", "job, instance"), "{{job}} {{instance}}"),),
            ),
            Panel("Memory", "bytes", (("process_resident_memory_bytes", "{{job}} {{instance}}"),)),
        ),
    ),
)


def dashboard(rows: Sequence[Row] = ROWS) -> dict[str, Any]:
    """The page as Grafana reads it."""
    return {
        "uid": "spoton",
        "title": "SpotOn",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(rows), 1)],
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    top = 0
    for row in rows:
        yield {"type": "row", "title": row.title, "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}, "panels": []}
        top += 1
        per_line = min(3, len(row.panels))
        width = COLUMNS // per_line
        for index, panel in enumerate(row.panels):
            place = {"x": index % per_line * width, "y": top + index // per_line * HEIGHT, "w": width, "h": HEIGHT}
            yield _panel(panel, place)
        top += -(-len(row.panels) // per_line) * HEIGHT


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=2))
