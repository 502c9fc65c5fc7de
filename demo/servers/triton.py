"""Triton from the wheel ``nvidia-pytriton``, in its own virtual environment, with the Python backend.

Triton hands the paths of model and backend to a shell when it starts a Python model, unquoted. So it runs inside a
folder of links and gets relative paths, which are free of spaces whatever the checkout is called.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import httpx

from demo.servers.errors import MissingPartError
from demo.servers.ports import LOOPBACK, free_ports
from demo.servers.process import Command
from demo.servers.state import SHARED_MEMORY, StateDirectory

INSTALL = Path(__file__).resolve().parents[2] / "deploy" / "install.py"
PROBE_TIMEOUT_S = 2.0
LDD_TIMEOUT_S = 20.0
EXIT_TIMEOUT_S = 5
STUB_TIMEOUT_S = 120
SHM_BYTES = 4 * 2**20
"""First size, and growth, of the Python backend's shared memory for each model instance."""


class Triton:
    """One Triton server with all the models of a repository, on loopback."""

    name = "triton"
    title = "Triton"
    needs: tuple[str, ...] = ()
    start_timeout_s = 180.0

    def __init__(self, state: StateDirectory, model_repository: Path) -> None:
        self._state = state
        self._models = model_repository
        self._grpc_port = self._http_port = self._metrics_port = 0

    @property
    def address(self) -> str:
        """Host and port of gRPC, as ``tritonclient.grpc`` wants them."""
        return f"{LOOPBACK}:{self._grpc_port}"

    @property
    def http_url(self) -> str:
        """Base of the HTTP API."""
        return f"http://{LOOPBACK}:{self._http_port}"

    @property
    def metrics_url(self) -> str:
        """Prometheus text of the server and its models."""
        return f"http://{LOOPBACK}:{self._metrics_port}/metrics"

    async def prepare(self) -> Command:
        """Links models and backend into the state directory and picks the ports.

        Raises:
            MissingPartError: the environment is not installed, or a library of the Python backend is not there.
        """
        environment = find_environment()
        folder = self._state.folder(self.name)
        _link(folder / "models", self._models.resolve())
        stub = _link_backend(folder / "backends" / "python", environment)
        variables = _variables(environment)
        _check_libraries(stub, variables)
        self._grpc_port, self._http_port, self._metrics_port = free_ports(3)
        arguments = [str(_package(environment) / "bin" / "tritonserver"), *self._flags()]
        return Command(arguments, environment=variables, folder=folder, stop_timeout_s=EXIT_TIMEOUT_S + 5.0)

    async def is_ready(self) -> bool:
        """Whether the server and every model of the repository are ready."""
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            try:
                answer = await client.get(f"{self.http_url}/v2/health/ready")
            except httpx.TransportError:
                return False
        return answer.status_code == httpx.codes.OK

    def leftovers(self) -> tuple[str, ...]:
        """The shared memory of the Python backend."""
        return (f"{SHARED_MEMORY}/{self._shm_prefix()}*",)

    def clear_up(self) -> None:
        """Nothing: all that remains is shared memory."""

    def _shm_prefix(self) -> str:
        return f"{self._state.credentials().shm_prefix}-triton"

    def _flags(self) -> list[str]:
        return [
            "--model-repository=models",
            "--model-control-mode=explicit",  # so that an export can have a new version loaded
            "--load-model=*",
            "--strict-readiness=true",
            "--exit-on-error=true",
            "--log-info=false",
            "--allow-gpu-metrics=false",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={self._grpc_port}",
            f"--http-address={LOOPBACK}",
            f"--http-port={self._http_port}",
            "--http-thread-count=2",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={self._metrics_port}",
            "--pinned-memory-pool-byte-size=0",
            "--backend-directory=backends",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix()}",
            f"--backend-config=python,shm-default-byte-size={SHM_BYTES}",
            f"--backend-config=python,shm-growth-byte-size={SHM_BYTES}",
            f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_S}",
        ]


def find_environment() -> Path:
    """The virtual environment of Triton for the running version of Python.

    Raises:
        MissingPartError: it is not installed.
    """
    environment: Path = runpy.run_path(str(INSTALL))["env_path"]("triton")
    if not (environment / ".ready").exists():
        raise MissingPartError(f"Triton is not installed: run 'python3 {INSTALL.parent.name}/{INSTALL.name} triton'")
    return environment


def _site_packages(environment: Path) -> Path:
    return environment / "lib" / f"python{_python_version()}" / "site-packages"


def _package(environment: Path) -> Path:
    return _site_packages(environment) / "pytriton" / "tritonserver"


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _variables(environment: Path) -> dict[str, str]:
    """The model processes find their packages through PATH and PYTHONPATH, their libpython beside the base Python.

    ONNX Runtime has a thread pool of its own; OpenMP and BLAS threads would only fight with it for the cores.
    """
    site = _site_packages(environment)
    libraries = (site / "nvidia_pytriton.libs", Path(sys.base_prefix) / "lib")
    return {
        "PATH": os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VIRTUAL_ENV": str(environment),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _link_backend(folder: Path, environment: Path) -> Path:
    """Puts the stub of the running Python beside the backend, where Triton looks for it; gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    package = _package(environment)
    for file in (package / "backends" / "python").iterdir():
        _link(folder / file.name, file)
    stub = folder / "triton_python_backend_stub"
    _link(stub, package / "python_backend_stubs" / _python_version() / stub.name)
    return stub


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _check_libraries(stub: Path, variables: dict[str, str]) -> None:
    listing = subprocess.run(
        ["ldd", str(stub.resolve())],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=LDD_TIMEOUT_S,
        check=False,
    )
    missing = [line.split()[0] for line in listing.stdout.splitlines() if "not found" in line]
    if missing:
        raise MissingPartError(
            f"Triton's Python backend needs {', '.join(missing)}, which is not beside {sys.base_prefix} nor in the "
            f"system: install it (Debian: libpython{_python_version()})"
        )
