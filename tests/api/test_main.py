"""``python -m api``: ports, bad starts, and a graceful stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.__main__ import bind, main
from orchestrator.errors import SettingsError
from orchestrator.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(settings, tmp_path):
    """The environment variables of a process with these settings; every server is down."""
    values = settings().model_dump(include={"site_file", "video_source", "video_folder", "cache_dir", "triton_url"})
    own = {f"SPOTON_{name.upper()}": str(value) for name, value in values.items()}
    own["SPOTON_POSTGRES_DSN"] = settings().postgres_dsn.get_secret_value()
    own["SPOTON_REDIS_URL"] = settings().redis_url.get_secret_value()
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SPOTON_API_PORT": "0", **own}


@contextmanager
def running(environ, folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "api"],
        env=environ,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_next_free_port_unless_asked_for_by_name(monkeypatch):
    monkeypatch.delenv("SPOTON_API_PORT", raising=False)
    with bind(load_settings()) as first, bind(load_settings()) as second:
        ports = [listener.getsockname()[1] for listener in (first, second)]
        assert 3847 <= ports[0] < ports[1]
        monkeypatch.setenv("SPOTON_API_PORT", str(ports[0]))
        with pytest.raises(SettingsError, match=f"{ports[0]}.*taken"):
            bind(load_settings())


def test_a_port_of_its_own_choice():
    with bind(load_settings(api_port=0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with socket.create_connection(listener.getsockname(), timeout=1):
            pass


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("SPOTON_API_PORT", "many", "SPOTON_API_PORT"), ("SPOTON_API_HOST", "0.0.0.0", "loopback")],
)
def test_an_unusable_setting_ends_with_one_clear_line(monkeypatch, capsys, name, value, words):
    monkeypatch.setenv(name, value)
    assert main() == 2
    out, errors = capsys.readouterr()
    (line,) = errors.strip().splitlines()
    assert words in line
    assert out == ""


def test_an_unusable_site_file_ends_with_one_clear_line(environ, tmp_path):
    broken = environ | {"SPOTON_SITE_FILE": "nowhere.yaml"}
    done = subprocess.run(
        [sys.executable, "-m", "api"], env=broken, cwd=tmp_path, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "nowhere.yaml" in line
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_without_servers_and_stops_when_told(environ, tmp_path, number):
    with running(environ, tmp_path) as process:
        url = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/health/live", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if "PostgreSQL" in line]) <= 1


@pytest.mark.servers
@pytest.mark.parametrize(("proxies", "last"), [("127.0.0.1", 401), ("10.0.0.0/8", 429)])
def test_a_client_s_address_is_what_a_trusted_proxy_says(environ, tmp_path, redis_url, proxies, last):
    access = {
        "SPOTON_ACCESS": "on",
        "SPOTON_TICKET_KEY": "k" * 32,
        "SPOTON_REDIS_URL": redis_url,
        "SPOTON_RATE_LIMIT_FAILURES": "1/hour",
        "SPOTON_API_TRUSTED_PROXIES": proxies,
    }
    seen = []
    with running(environ | access, tmp_path) as process:
        url = process.stdout.readline().split()[-1]
        for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
            request = urllib.request.Request(f"{url}/api/v1/processing-tasks", headers={"X-Forwarded-For": address})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=10)
            with refused.value as answer:
                seen.append(answer.code)
    assert seen == [401, 429, last]
