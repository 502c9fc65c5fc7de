"""Prometheus' configuration and alerts by its own tool; Grafana's page against the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from api.metrics import ApiMetrics
from deploy.dashboard import dashboard
from orchestrator.metrics import Metrics
from tests.deploy.compose import ROOT, prometheus_tool, service

FOLDER = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
TRITON = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_count",
    "nv_inference_exec_count",
}
"""Of Triton's metrics, those in use; all of them are scraped from a running server in tests/whole."""
OF_A_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
"""Triton has these where it sees a GPU, by the names in NVIDIA's documentation."""
_METRIC = re.compile(r"\b(?:spoton|nv|process)_\w+")

needs_promtool = pytest.mark.skipif(prometheus_tool("promtool") is None, reason="Debian's prometheus is not here")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(prometheus_tool("promtool")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def exported() -> set[str]:
    """The names under which SpotOn's metrics reach Prometheus."""
    names = set()
    for registry in (Metrics().registry, ApiMetrics().registry):
        for family in registry.collect():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
    return names


def asked_for() -> set[str]:
    """Every metric that the page or an alert names, but for Prometheus' own."""
    expressions = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    return {name for text in [*expressions, *(rule["expr"] for rule in rules)] for name in _METRIC.findall(text)}


@needs_promtool
def test_the_configuration_is_accepted() -> None:
    done = promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
    assert "8 rules found" in done.stdout


@needs_promtool
def test_alerts_fire_on_what_they_are_for(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    done = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_part_is_scraped_where_it_serves_metrics() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}
    scraped = {name: job["dns_sd_configs"][0] for name, job in jobs.items() if "dns_sd_configs" in job}
    assert all(found["names"] == [name] and service(name) for name, found in scraped.items())
    assert scraped["api"]["port"] == service("api")["environment"]["SPOTON_API_PORT"]
    assert scraped["worker"]["port"] == service("worker")["environment"]["SPOTON_WORKER_METRICS_PORT"]
    assert scraped["triton"]["port"] == 8002


def test_the_page_is_the_one_that_its_module_makes() -> None:
    assert json.loads((GRAFANA / "dashboards" / "spoton.json").read_text()) == dashboard()


def test_the_page_and_the_alerts_ask_for_metrics_that_there_are() -> None:
    assert asked_for() <= TRITON | OF_A_GPU | exported()


def test_every_metric_of_our_own_is_on_the_page() -> None:
    page = json.dumps(dashboard())
    own = {re.sub("_(total|bucket|count|sum)$", "", name) for name in exported() if name.startswith("spoton")}
    assert {name for name in own if name not in page} == set()


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_grafana_finds_its_page_and_its_source() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in dashboard()["panels"] if "datasource" in panel} == {source["uid"]}
    folder = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "spoton.yml").read_text())["providers"][0]
    mounts = dict(volume.split(":")[:2] for volume in service("grafana")["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == folder["options"]["path"]
