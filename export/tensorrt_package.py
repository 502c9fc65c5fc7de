"""Plans by the ``tensorrt`` package (extra ``tensorrt``), which has to be the version that the server has.

This file is all that touches the package, through the protocols below. They were compared with the signatures of its
bindings 11.2.1; its libraries need a GPU and were not at hand, so no plan has been built by this code in the tests.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from export.files import write_file, write_flushed
from export.plans import PlanError, PlanJob


class Profile(Protocol):
    """``IOptimizationProfile``."""

    def set_shape(self, name: str, smallest: Sequence[int], best: Sequence[int], largest: Sequence[int], /) -> None:
        """The range of an input's shape."""


class TimingCache(Protocol):
    """``ITimingCache``."""

    def serialize(self) -> Any:
        """A buffer."""


class BuilderConfig(Protocol):
    """``IBuilderConfig``."""

    def create_timing_cache(self, content: bytes, /) -> TimingCache:
        """From a buffer; an empty one gives an empty cache."""
        ...

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool, /) -> bool:
        """False for a cache of another machine, which is then not used."""
        ...

    def get_timing_cache(self) -> TimingCache:
        """With what the build has added."""
        ...

    def set_memory_pool_limit(self, pool: Any, size: int, /) -> None:
        """In bytes."""

    def add_optimization_profile(self, profile: Profile, /) -> int:
        """Its index; negative for one that is not valid."""
        ...


class Builder(Protocol):
    """``Builder``."""

    def create_network(self, flags: int, /) -> Any:
        """``INetworkDefinition``."""
        ...

    def create_builder_config(self) -> BuilderConfig:
        """How to build."""
        ...

    def create_optimization_profile(self) -> Profile:
        """An empty one."""
        ...

    def build_serialized_network(self, network: Any, config: BuilderConfig, /) -> Any:
        """A buffer; None where it cannot be built."""
        ...


class OnnxParser(Protocol):
    """``OnnxParser``."""

    num_errors: int

    def parse_from_file(self, path: str, /) -> bool:
        """Fills the network."""
        ...

    def get_error(self, index: int, /) -> Any:
        """Has ``desc()``."""
        ...


class TensorRT(Protocol):
    """What is used of the package."""

    __version__: str
    Logger: Any
    MemoryPoolType: Any
    NetworkDefinitionCreationFlag: Any

    def Builder(self, logger: Any, /) -> Builder:  # noqa: N802
        """One for each plan."""
        ...

    def OnnxParser(self, network: Any, logger: Any, /) -> OnnxParser:  # noqa: N802
        """Into ``network``."""
        ...

    def init_libnvinfer_plugins(self, logger: Any, namespace: str, /) -> bool:
        """RoiAlign is one."""
        ...


@dataclass(frozen=True, slots=True)
class PackageBuilder:
    """A ``PlanBuilder`` by the package."""

    tensorrt: TensorRT

    def version(self) -> str:
        """Major, minor and patch."""
        return ".".join(self.tensorrt.__version__.split(".")[:3])

    def build(self, job: PlanJob, out: Path, timing_cache: Path) -> None:
        """Writes ``out`` and ``timing_cache``. Raises ``PlanError``."""
        trt = self.tensorrt
        logger = trt.Logger(trt.Logger.WARNING)
        trt.init_libnvinfer_plugins(logger, "")
        builder = trt.Builder(logger)
        # Always so in TensorRT 11; in 10 a network is strongly typed where it is asked for.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        self._parse(job, network, logger)
        config = self._configure(job, builder)
        cache = config.create_timing_cache(timing_cache.read_bytes() if timing_cache.is_file() else b"")
        if not config.set_timing_cache(cache, False):  # of another GPU or version
            config.set_timing_cache(config.create_timing_cache(b""), False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise PlanError(f"{job.onnx}: TensorRT {trt.__version__} builds no plan of it; its log says why")
        write_flushed(out, bytes(plan))
        write_file(timing_cache, bytes(config.get_timing_cache().serialize()))

    def _parse(self, job: PlanJob, network: Any, logger: Any) -> None:
        parser = self.tensorrt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(job.onnx)):
            errors = [str(parser.get_error(index).desc()) for index in range(parser.num_errors)]
            raise PlanError(f"{job.onnx}: {'; '.join(errors) or 'cannot be parsed'}")

    def _configure(self, job: PlanJob, builder: Builder) -> BuilderConfig:
        config = builder.create_builder_config()
        config.set_memory_pool_limit(self.tensorrt.MemoryPoolType.WORKSPACE, job.workspace_mib * 2**20)
        for wanted in job.profiles:
            profile = builder.create_optimization_profile()
            smallest, largest = job.shape(wanted.smallest), job.shape(wanted.largest)
            profile.set_shape(job.spec.input.name, smallest, largest, largest)
            if config.add_optimization_profile(profile) < 0:
                raise PlanError(f"{job.onnx}: TensorRT refuses the profile {smallest} to {largest}")
        return config


def open_package() -> PackageBuilder:
    """Raises ``PlanError`` where the package, or its libraries, are not there."""
    try:
        return PackageBuilder(cast("TensorRT", importlib.import_module("tensorrt")))
    except (ImportError, OSError) as error:
        raise PlanError(f"the package tensorrt is not here ({error}): pip install 'spoton[tensorrt]'") from error
