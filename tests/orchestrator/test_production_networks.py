"""The production networks behind the same names: nothing after the server knows the shapes of the demo's models.

A ResNet-50-FPN-v2 at a small size and CLIP-ReID's ViT-B/16 with its 1280 values, weights random, on the real Triton.
Random weights see nobody, so the detector's bias makes every proposal a person and only a few are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from export.clip_reid import ClipReid
from export.detector import export_detector
from export.model_source import ModelSource
from export.reid import export_reid
from export.rollout import write_repository
from export.serving import Target
from orchestrator.events import EventLog
from orchestrator.history.pool import transaction
from orchestrator.homography import load_homographies
from orchestrator.inference.client import open_inference
from orchestrator.media import FolderVideoSource, VideoCache
from orchestrator.metrics import Metrics
from orchestrator.services import Services
from orchestrator.settings import Settings
from orchestrator.site import load_site
from orchestrator.worker import process
from tests.orchestrator.test_pipeline import frames_of, of_type, rows_of, said
from tests.orchestrator.videos import write_video

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

HEIGHT, WIDTH = 128, 224
PEOPLE = 4
TICKS = 3


def export_production(folder: Path) -> dict[str, Path]:
    torch.manual_seed(5)
    detector = fasterrcnn_resnet50_fpn_v2(
        weights=None,
        weights_backbone=None,
        min_size=HEIGHT,
        max_size=WIDTH,
        rpn_pre_nms_top_n_test=64,
        rpn_post_nms_top_n_test=32,
        box_detections_per_img=PEOPLE,
    )
    with torch.no_grad():
        scores = detector.roi_heads.box_predictor.cls_score
        scores.weight.mul_(0.01)
        scores.bias[1] += 8
    reid = ClipReid().eval()
    paths = {"detector": folder / "detector.onnx", "reid": folder / "reid.onnx"}
    source = ModelSource("fasterrcnn_resnet50_fpn_v2", "d" * 64)
    export_detector(detector.eval(), paths["detector"], height=HEIGHT, width=WIDTH, source=source)
    export_reid(reid, paths["reid"], source=ModelSource("clip_reid_vit_b16", "c" * 64))
    return paths


@pytest.fixture
async def services(
    tmp_path: Path, database_settings: Settings, redis_url: str, pool: Any, store: Any
) -> AsyncIterator[Services]:
    paths = await asyncio.to_thread(export_production, tmp_path)
    await asyncio.to_thread(write_repository, Target.CPU, tmp_path / "models", **paths)
    video = tmp_path / "videos" / "c1" / "sub_video_01.mp4"
    video.parent.mkdir(parents=True)
    noise = np.random.default_rng(7).integers(0, 255, (144, 256, 3), np.uint8)
    write_video(video, TICKS, size_hw=(144, 256), pictures=[noise] * TICKS)
    site_file = tmp_path / "site.yaml"
    site_file.write_text(
        "environments:\n  yard:\n    recorded_from: 2026-01-05T09:00:00Z\n    cameras:\n      c1: {prefix: c1}\n"
    )
    site, source = load_site(site_file), FolderVideoSource(tmp_path / "videos")
    state = StateDirectory(tmp_path / "state")
    triton = Triton(state, tmp_path / "models")
    async with Supervisor(state) as supervisor:
        await supervisor.start([triton])
        settings = database_settings.model_copy(
            update={
                "site_file": site_file,
                "cache_dir": tmp_path / "cache",
                "redis_url": type(database_settings.redis_url)(redis_url),
                "triton_url": triton.address,
            }
        )
        async with EventLog.open(settings) as events, open_inference(settings, cameras=1) as inference:
            yield Services(
                settings=settings,
                site=site,
                homographies={name: load_homographies(each) for name, each in site.environments.items()},
                pool=pool,
                store=store,
                events=events,
                source=source,
                cache=VideoCache(settings, source),
                inference=inference,
                metrics=Metrics(),
            )


async def test_a_few_ticks_run_through_the_live_pipeline(services: Services) -> None:
    assert services.inference.embedder.dimension == 1280
    task = await services.store.create("yard", max_active=8)
    await process(services, task.id)
    messages = await said(services, task)
    assert messages[-1]["payload"]["status"] == "COMPLETED", messages[-1]
    assert frames_of(messages) == list(range(TICKS))
    for update in of_type(messages, "tracking_update"):
        assert 0 < len(update["cameras"]["c1"]["tracks"]) <= PEOPLE
    for *_, x1, y1, x2, y2 in await rows_of(services, task):
        assert 0 <= x1 < x2 <= 256
        assert 0 <= y1 < y2 <= 144
    async with transaction(services.pool, "read embeddings") as connection:
        cursor = await connection.execute("SELECT DISTINCT vector_dims(embedding) FROM embeddings")
        assert await cursor.fetchall() == [(1280,)]
