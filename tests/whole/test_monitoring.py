"""The shipped Prometheus configuration scrapes the running system, and every query of Grafana's page has an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from demo.servers.ports import free_ports
from deploy.dashboard import dashboard
from tests.deploy.compose import ROOT, prometheus_tool, service
from tests.deploy.test_prometheus import OF_A_GPU, asked_for
from tests.system import Whole
from tests.whole.test_whole_way import ended, http, start

pytestmark = [
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),  # whoever comes first waits for the whole system
]
SCRAPE_S = 1
WITHIN_S = 40.0
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
NEEDS_A_GPU = "nv_gpu_"
NEEDS_TROUBLE = ("ALERTS", '"[45].."')
"""These have no answer while all is well."""


def configuration(whole: Whole, folder: Path) -> Path:
    """The shipped one, with addresses of this machine instead of names of services, and a shorter interval."""
    shipped = ROOT / "deploy" / "prometheus"
    document = yaml.safe_load((shipped / "prometheus.yml").read_text())
    stack = whole.stack
    addresses = {
        "triton": stack.triton.metrics_url.split("/")[2],
        "api": stack.api.address,
        "worker": stack.worker.address,
    }
    for job in document["scrape_configs"]:
        if job.pop("dns_sd_configs", None):
            job["static_configs"] = [{"targets": [addresses[job["job_name"]]]}]
    document["scrape_configs"] = [job for job in document["scrape_configs"] if job["job_name"] in addresses]
    document["global"] |= {"scrape_interval": f"{SCRAPE_S}s", "scrape_timeout": f"{SCRAPE_S}s"}
    document["rule_files"] = [str(shipped / name) for name in document["rule_files"]]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(document))
    return file


@asynccontextmanager
async def prometheus(config: Path, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Debian's, with the flags of the compose file."""
    places = {"--config.file": str(config), "--storage.tsdb.path": str(folder / "data")}
    flags = dict(flag.split("=", 1) for flag in service("prometheus")["command"]) | places
    (port,) = free_ports(1)
    command = [str(prometheus_tool("prometheus")), *(f"{name}={value}" for name, value in flags.items())]
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *command, f"--web.listen-address=127.0.0.1:{port}", stdout=log, stderr=log
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
                await until_ready(client, process, folder / "log")
                yield client
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 20)


async def until_ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            assert process.returncode is None, log.read_text()
            try:
                if (await client.get("/-/ready")).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def ask(client: httpx.AsyncClient, expression: str) -> list[dict[str, Any]]:
    answer = await client.get("/api/v1/query", params={"query": expression.replace("$__rate_interval", "1m")})
    assert answer.status_code == httpx.codes.OK, (expression, answer.text)
    return list(answer.json()["data"]["result"])


async def unanswered(client: httpx.AsyncClient, expressions: list[str]) -> list[str]:
    return [expression for expression in expressions if not await ask(client, expression)]


async def scraped(url: str) -> set[str]:
    """The names of the series that a part can give, those of labels that were not used yet included."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        text = (await client.get(url)).raise_for_status().text
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {name + suffix for name, kind in kinds for suffix in SUFFIXES.get(kind, ("",))}


async def test_every_metric_of_the_page_and_the_alerts_is_given_by_the_part_it_is_asked_of(whole: Whole) -> None:
    stack = whole.stack
    triton, api, worker = [
        await scraped(url) for url in (stack.triton.metrics_url, f"{stack.api.url}/metrics", stack.worker.metrics_url)
    ]
    asked = asked_for()
    of_triton = {name for name in asked if name.startswith("nv_")}
    assert of_triton - OF_A_GPU == of_triton & triton
    assert {name for name in asked if name.startswith("spoton_api_")} <= api
    assert {name for name in asked - of_triton if not name.startswith("spoton_api_")} <= worker
    assert {name for name in asked if name.startswith("process_")} <= api & worker


@pytest.mark.skipif(prometheus_tool("prometheus") is None, reason="Debian's prometheus is not here")
async def test_every_part_is_scraped_and_every_query_answers(whole: Whole, tmp_path: Path) -> None:
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    quiet = [query for query in queries if NEEDS_A_GPU in query or any(word in query for word in NEEDS_TROUBLE)]
    asked = [query for query in queries if query not in quiet]
    assert len(asked) >= 15
    async with prometheus(configuration(whole, tmp_path), tmp_path) as client, await http(whole) as api:
        await asyncio.sleep(2 * SCRAPE_S)  # rates need a value from before
        task = await start(api, "campus")
        assert (await ended(api, task))["status"] == "COMPLETED"
        missing = asked
        async with asyncio.timeout(WITHIN_S):
            while missing := await unanswered(client, missing):
                await asyncio.sleep(SCRAPE_S)
        states = {each["metric"]["job"]: each["value"][1] for each in await ask(client, "up")}
        assert states == {"triton": "1", "api": "1", "worker": "1"}
        frames = await ask(client, "sum by (camera) (spoton_frames_total)")
        assert all(float(each["value"][1]) > 0 for each in frames)
        for query in quiet:
            await ask(client, query)
        rules = (await client.get("/api/v1/rules")).json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
