"""Scenes of the demo site: rendered and seen by the demo's models, or, too large for that, by a noise model."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.accuracy.detector import cached
from benchmarks.accuracy.geometry import truth_of
from benchmarks.accuracy.noise import NoiseModel, detect, fit, looks_of
from benchmarks.accuracy.scene import BoxTruth, GroundTruth, Scene, detection_file, seen_by_some
from demo.model_repository import CONFIG, DETECTION_THRESHOLD, REID_SIMILARITY, prepare_models
from demo.scores import BoxTable
from demo.site.build import build_site, version_hash
from demo.site.folder import SiteFiles
from demo.site.scene import Recording as Sizes
from demo.site.scene import Scene as Site
from demo.site.scenes import make_scene
from demo.site.truth import surveyed_points
from demo.truth import load_truth
from export.records import digest
from orchestrator.recorded.associate import Recording
from orchestrator.settings import Settings
from orchestrator.site import Environment, load_site
from orchestrator.values import Bool, Int64

MODELS = ("person_detector", "person_reid")
WEIGHTS = ("detector", "reid")
FITTED_SEEDS = (4, 5)
"""Of the campus: the noise model is fitted to them, and no figure is measured on them."""
REAL, NOISE = "demo detector", "noise model"


@dataclass(frozen=True, slots=True)
class DemoScene:
    """A scene of the demo site in the size that is measured."""

    name: str
    site: str
    sizes: Sizes = field(default_factory=Sizes)
    rendered: bool = False
    """Whether the demo's own models see it; the noise model does otherwise."""
    alike: float = 0.2
    """Share of people who look like another, where the noise model draws looks."""
    absent_s: tuple[float, float] | None = None
    """For how long, between these, everybody is gone once, where the noise model sees them: behind a door."""

    def make(self, seed: int) -> Site:
        """The site for a seed."""
        return make_scene(self.site, seed, self.sizes)


def demo_settings() -> Settings:
    """The defaults with what the worker has to know of the demo's models; the environment is not asked."""
    return Settings(
        _env_file=None,
        reid_similarity=REID_SIMILARITY,
        detection_threshold=DETECTION_THRESHOLD,
    )


async def prepare(state: Path) -> tuple[Path, Path]:
    """The ONNX files of the demo's detector and Re-ID model."""
    folder = state / "models"
    await prepare_models(folder)
    return _newest(folder, MODELS[0]), _newest(folder, MODELS[1])


def _newest(folder: Path, model: str) -> Path:
    return max(folder.glob(f"{model}/*/model.onnx"), key=lambda path: int(path.parent.name))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits for other processes of the benchmark that make the same scene, and finds what they made."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def weights() -> dict[str, str]:
    """SHA-256 of the committed weights of the demo's detector and Re-ID model."""
    return {name: digest(CONFIG.with_name(f"{name}.safetensors")) for name in WEIGHTS}


def fit_noise(state: Path, models: tuple[Path, Path]) -> NoiseModel:
    """Fits the noise model to what the demo's models say of the campus."""
    scene = DemoScene("campus", "campus")
    return fit([rendered(scene, seed, state, models) for seed in FITTED_SEEDS], weights())


def rendered(scene: DemoScene, seed: int, state: Path, models: tuple[Path, Path]) -> Scene:
    """The scene as the demo's models see it; videos and detections are made once and kept in ``state``."""
    site = scene.make(seed)
    with _alone(state / "sites" / f"{scene.name}-{seed}.lock"):
        files = build_site(site, state / "sites" / f"{scene.name}-{seed}")
        environment = next(iter(load_site(files.site_file).environments.values()))
        cameras = list(environment.cameras.values())
        found = cached(state / "detections", version_hash(site), models, cameras, files.videos)
    sizes = {each.camera.camera_id: (each.camera.width, each.camera.height) for each in site.cameras}
    detections = {
        name: detection_file(
            name,
            item.frames,
            item.boxes.astype(np.float64),
            item.scores.astype(np.float64),
            item.embeddings,
            sizes[name],
        )
        for name, item in found.items()
    }
    known = tuple(camera.model_copy(update={"resolution": sizes[camera.id]}) for camera in cameras)
    recording = Recording(known, detections, 0, 1, site.frames, float(site.fps))
    boxes, ground = _truth(files, site, [camera.id for camera in cameras])
    return Scene(scene.name, seed, REAL, demo_settings(), environment, recording, boxes, ground)


def _truth(files: SiteFiles, site: Site, camera_ids: list[str]) -> tuple[dict[str, BoxTruth], GroundTruth]:
    truth = load_truth(files.root, float(site.fps), site.frames_per_sub_video)
    boxes = {}
    for camera_id in camera_ids:
        camera = truth.camera(camera_id)
        places = truth.map.look_up(camera.table.frames, camera.table.ids)
        boxes[camera_id] = BoxTruth(camera.table, camera.visibility, places)
    table = BoxTable(truth.map.frames, truth.map.ids, truth.map.positions)
    return boxes, GroundTruth(table, seen_by_some(boxes, table))


def drawn(scene: DemoScene, seed: int, model: NoiseModel | None = None) -> Scene:
    """The scene as the noise model sees it: nothing is rendered."""
    site, model = scene.make(seed), model or NoiseModel.load()
    rng = np.random.default_rng([seed, 11])
    boxes, ground = truth_of(site)
    if scene.absent_s is not None:
        boxes, ground = without_absent(boxes, ground, absences(len(site.people), site, scene.absent_s, rng))
    settings = demo_settings()
    looks = looks_of(model, len(site.people), len(site.cameras), scene.alike, rng)
    cameras, files = {}, {}
    for row, each in enumerate(site.cameras):
        name, size = each.camera.camera_id, (each.camera.width, each.camera.height)
        threshold = settings.detection_threshold
        files[name] = detect(model, row, boxes[name], size, site.frames, looks, threshold, rng)
        image, metres = surveyed_points(site, each.camera)
        pairs = {"image_points": image.tolist(), "map_points": metres.tolist()}
        cameras[name] = {"id": name, "prefix": name, "resolution": size, "homography": pairs}
    rules = [asdict(rule) for rule in site.exits]
    described = {"id": scene.name, "cameras": cameras, "overlaps": site.overlaps, "exits": rules}
    environment = Environment.model_validate(described)
    recording = Recording(tuple(environment.cameras.values()), files, 0, 1, site.frames, float(site.fps))
    return Scene(scene.name, seed, NOISE, settings, environment, recording, boxes, ground)


def absences(people: int, site: Site, between_s: tuple[float, float], rng: np.random.Generator) -> Int64:
    """[P, 2] first tick at which each person is gone, and first at which they are back."""
    gone = np.round(rng.uniform(*between_s, people) * site.fps)
    begin = rng.uniform(0, np.maximum(site.frames - gone, 1))
    return np.stack([begin, begin + gone], axis=1).astype(np.int64)


def without_absent(
    boxes: dict[str, BoxTruth], ground: GroundTruth, gone: Int64
) -> tuple[dict[str, BoxTruth], GroundTruth]:
    """The truth without people while they are gone."""

    def there(table: BoxTable) -> Bool:
        begin, end = gone[table.ids - 1].T
        return np.asarray((table.frames < begin) | (table.frames >= end), np.bool_)

    kept = {
        name: BoxTruth(truth.table.select(rows), truth.visibility[rows], truth.map_xy[rows])
        for name, truth in boxes.items()
        for rows in (there(truth.table),)
    }
    rows = there(ground.table)
    return kept, GroundTruth(ground.table.select(rows), ground.scored[rows])
