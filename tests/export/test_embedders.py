"""CLIP-ReID and OSNet, held against BoxMOT 16, which shares no line with them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.architectures import UnknownArchitectureError
from export.clip_reid import Neck, load_clip_reid
from export.embedders import EmbedderOptions, load_embedder
from export.onnx_file import ModelSource
from export.onnx_models import export_reid_file
from export.osnet import NAMES
from export.precision import Precision
from export.reid import CropEmbedder
from export.weights import WeightsError, read_checkpoint
from tests.export.conftest import open_session

pytestmark = pytest.mark.timeout(400)
"""The reference is installed and run once; tracing the network takes a while on a busy machine."""

CLIP = [
    ("clip_market1501.pt", "clip_after", EmbedderOptions()),
    ("clip_market1501.pt", "clip_before", EmbedderOptions(Neck.BEFORE)),
    ("clip_sie.pth", "clip_camera", EmbedderOptions(camera=2)),
    ("clip_sie.pth", "clip_mean", EmbedderOptions()),
]


@pytest.fixture(scope="session")
def answers(boxmot16: Path) -> dict[str, np.ndarray]:
    return dict(np.load(boxmot16 / "answers.npz"))


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def assert_same(embeddings: np.ndarray, expected: np.ndarray, least_cosine: float = 0.9999) -> None:
    """Row by row; the references themselves differ by more than is allowed, so a mistake cannot hide."""
    between = unit(expected) @ unit(expected).T
    assert between[~np.eye(len(between), dtype=bool)].max() < 1 - 2 * (1 - least_cosine)
    assert (embeddings * unit(expected)).sum(axis=1).min() > least_cosine
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


def embed(network: torch.nn.Module, crops: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return CropEmbedder(network)(torch.from_numpy(crops)).numpy()


@pytest.mark.parametrize(("file", "answer", "options"), CLIP, ids=[answer for _, answer, _ in CLIP])
def test_clip_reid_answers_as_boxmot(
    boxmot16: Path, answers: dict[str, np.ndarray], file: str, answer: str, options: EmbedderOptions
) -> None:
    embedder = load_embedder(boxmot16 / file, options=options)
    assert embedder.name == "clip_reid_vit_b16" + ("_before_neck" if options.neck is Neck.BEFORE else "")
    embeddings = embed(embedder.network, answers["crops"])
    assert embeddings.shape == (4, 1280)
    assert_same(embeddings, answers[answer])


def test_clip_reid_in_onnx_answers_as_boxmot(clip_onnx: Path, answers: dict[str, np.ndarray]) -> None:
    session = open_session(clip_onnx)
    for rows in (slice(0, 1), slice(0, 4)):
        (embeddings,) = session.run(["embeddings"], {"crops": answers["crops"][rows]})
        assert embeddings.dtype == np.float32
        assert (embeddings * unit(answers["clip_after"][rows])).sum(axis=1).min() > 0.9999
    assert_same(embeddings, answers["clip_after"])


def test_clip_reid_in_half_precision_answers_as_boxmot(
    boxmot16: Path, answers: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "clip.onnx"
    source = export_reid_file(None, boxmot16 / "clip_market1501.pt", path, precision=Precision.FP16)
    assert path.stat().st_size < 175e6
    written = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert written["precision"] == "fp16"
    assert source.model_id == ModelSource(source.architecture, source.weights_digest).model_id
    (embeddings,) = open_session(path).run(["embeddings"], {"crops": answers["crops"]})
    assert embeddings.dtype == np.float32
    assert_same(embeddings, answers["clip_after"])


@pytest.mark.parametrize("name", NAMES)
def test_osnet_answers_as_boxmot(boxmot16: Path, answers: dict[str, np.ndarray], name: str) -> None:
    embedder = load_embedder(boxmot16 / f"{name}_msmt17.pt")
    assert embedder.name == name
    assert_same(embed(embedder.network, answers["crops"]), answers[name], least_cosine=0.99999)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_encoder.ln_post.bias": None}, "missing image_encoder.ln_post.bias; unexpected none"),
        ({"image_encoder.extra": torch.zeros(1)}, "missing none; unexpected image_encoder.extra"),
        ({"image_encoder.proj": torch.zeros(768, 1024)}, "other shapes .* image_encoder.proj"),
        ({"image_encoder.positional_embedding": torch.zeros(197, 768)}, "has 197 rows; at 256x128 129 or 211 fit"),
        ({"bottleneck.running_var": torch.full((768,), torch.nan)}, "not finite: bottleneck.running_var"),
        ({"cv_embed": torch.zeros(6, 512)}, r"cv_embed is \(6, 512\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    boxmot16: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    tensors = read_checkpoint(boxmot16 / "clip_market1501.pt") | change
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(WeightsError, match=rf"changed\.pt: .*{message}"):
        load_clip_reid(kept, Path("changed.pt"), Neck.AFTER)


def test_a_camera_that_is_not_there_is_named(boxmot16: Path) -> None:
    with pytest.raises(WeightsError, match=r"clip_sie\.pth: no camera 6 among the 6 of cv_embed"):
        load_embedder(boxmot16 / "clip_sie.pth", options=EmbedderOptions(camera=6))
    with pytest.raises(WeightsError, match=r"no side information \(cv_embed\), so no camera 0"):
        load_embedder(boxmot16 / "clip_market1501.pt", options=EmbedderOptions(camera=0))


def test_options_of_clip_reid_are_refused_elsewhere(boxmot16: Path) -> None:
    with pytest.raises(WeightsError, match="osnet_x0_25 has neither a neck nor side information"):
        load_embedder(boxmot16 / "osnet_x0_25_msmt17.pt", options=EmbedderOptions(Neck.BEFORE))


def test_a_stranger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(torch.nn.Linear(2, 1).state_dict(), path)
    with pytest.raises(UnknownArchitectureError, match=r"other\.pt: its names \(bias, weight, \.\.\.\) belong to none"):
        load_embedder(path)
    with pytest.raises(UnknownArchitectureError, match="unknown architecture 'vgg'"):
        load_embedder(path, "vgg")
    torch.save({"conv1.conv.weight": torch.zeros(7, 3, 7, 7)}, path)
    with pytest.raises(WeightsError, match="no OSNet has a stem of 7 channels"):
        load_embedder(path)
