"""What the demo's detector and Re-ID model say of rendered videos, computed once and kept.

The models run in ONNX Runtime without a server, with the live pipeline's decoding, scaling and crops. Every box over
the detection threshold is embedded. The cache is keyed by the scene, the code that renders it and the models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from demo.model_repository import DETECTION_THRESHOLD
from demo.upload import match_videos
from orchestrator.decode import FrameReader, VideoProbe, frames_of_ticks, probe
from orchestrator.inference.contract import CROP_HW
from orchestrator.scaling import letterbox_scale, resize_into
from orchestrator.site import Camera
from orchestrator.values import Bool, Float32, Int64, UInt8

LOW_SCORE = 0.1
BATCH = 4
FORM = 1
"""Rises when what is kept changes its meaning."""


@dataclass(frozen=True, slots=True)
class Found:
    """The detections of one camera over the whole recording."""

    frames: Int64
    """[N] from 0."""
    boxes: Float32
    """[N, 4] xyxy, source pixels."""
    scores: Float32
    """[N]"""
    embeddings: Float32
    """[N, D]; zeros below the detection threshold."""


def cached(
    cache: Path, key: str, models: tuple[Path, Path], cameras: list[Camera], videos: Path
) -> Mapping[str, Found]:
    """The detections by camera id, from ``cache`` or computed now.

    Args:
        cache: folder of the cache.
        key: says what the videos show.
        models: ONNX files of detector and Re-ID.
        cameras: whose videos.
        videos: folder of the videos, as the demo lays them out.
    """
    digest = hashlib.sha256(f"{FORM} {key}".encode())
    for model in models:
        digest.update(model.read_bytes())
    path = cache / f"{digest.hexdigest()[:24]}.npz"
    if not path.is_file():
        found = _detect_all(models, cameras, videos)
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        columns = {f"{name} {camera}": column for camera, item in found.items() for name, column in _columns(item)}
        np.savez_compressed(part, **columns)
        part.replace(path)
    with np.load(path, allow_pickle=False) as arrays:
        return {camera.id: _from_columns(arrays, camera.id) for camera in cameras}


def _columns(found: Found) -> list[tuple[str, Any]]:
    return [
        ("frames", found.frames),
        ("boxes", found.boxes),
        ("scores", found.scores),
        ("embeddings", found.embeddings.astype(np.float16)),
    ]


def _from_columns(arrays: Any, camera_id: str) -> Found:
    frames, boxes, scores, half = (
        arrays[f"{name} {camera_id}"] for name in ("frames", "boxes", "scores", "embeddings")
    )
    embeddings = half.astype(np.float32)
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Found(frames, boxes, scores, embeddings / np.where(length > 0, length, 1))


def _detect_all(models: tuple[Path, Path], cameras: list[Camera], videos: Path) -> dict[str, Found]:
    cv2.setNumThreads(1)
    networks = _Networks(*models)
    matched = match_videos(cameras, videos)
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda camera: networks.detect(camera.id, list(matched[camera.id].values())), cameras)
        return dict(zip((camera.id for camera in cameras), found, strict=True))


class _Networks:
    """Detector and Re-ID of one pair of files, one core a call."""

    def __init__(self, detector: Path, reid: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._detector, self._reid = (
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in (detector, reid)
        )
        self._input_hw = tuple(self._detector.get_inputs()[0].shape[1:3])
        self._crop_hw = CROP_HW

    def detect(self, camera_id: str, files: list[Path]) -> Found:
        """All files of one camera, end to end."""
        parts, first = [], 0
        for path in files:
            video = probe(path)
            chosen = frames_of_ticks(video, video.fps)
            parts += self._detect_file(camera_id, path, video, chosen, first)
            first += len(chosen)
        return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _detect_file(self, camera_id: str, path: Path, video: VideoProbe, chosen: Int64, first: int) -> list[Any]:
        reader, parts = FrameReader(path, camera_id, video, chosen), []
        images = np.zeros((BATCH, *self._input_hw, 3), np.uint8)
        try:
            for start in range(0, len(chosen), BATCH):
                count = min(BATCH, len(chosen) - start)
                frames = [reader.read(start + row, images[row]).pixels for row in range(count)]
                boxes, scores = self._detector.run(None, {"images": images[:count]})
                for row, pixels in enumerate(frames):
                    parts.append(self._of_frame(first + start + row, pixels, boxes[row], scores[row]))
        finally:
            reader.close()
        return parts

    def _of_frame(self, frame: int, pixels: UInt8, boxes: Float32, scores: Float32) -> tuple[Any, ...]:
        height, width = pixels.shape[:2]
        scale = np.float32(letterbox_scale((height, width), self._input_hw))
        inside = np.clip(boxes / scale, 0, np.array((width, height, width, height), np.float32))
        kept = (inside[:, 2:] > inside[:, :2]).all(axis=1) & (scores >= LOW_SCORE)
        inside, scores = inside[kept], scores[kept]
        looks = self._embed(pixels, inside, scores >= DETECTION_THRESHOLD)
        return np.full(len(scores), frame, np.int64), inside, scores, looks

    def _embed(self, pixels: UInt8, boxes: Float32, sure: Bool) -> Float32:
        dimension = self._reid.get_outputs()[0].shape[1]
        looks = np.zeros((len(boxes), dimension), np.float32)
        if sure.any():
            crops = np.zeros((int(sure.sum()), *self._crop_hw, 3), np.uint8)
            for crop, (left, top, right, bottom) in zip(crops, boxes[sure], strict=True):
                cut = pixels[int(top) : max(int(np.ceil(bottom)), int(top) + 1)]
                resize_into(cut[:, int(left) : max(int(np.ceil(right)), int(left) + 1)], crop)
            looks[sure] = self._reid.run(None, {"crops": crops})[0]
        return looks
