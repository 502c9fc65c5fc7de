"""A program, not a test: BoxMOT 16's CLIP-ReID and OSNet with random weights, their checkpoints and what they answer.

``python boxmot16_reference.py PACKAGES FOLDER``: takes BoxMOT from PACKAGES, writes into FOLDER. Nothing of SpotOn is
imported here, so that the two implementations share no line.
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

PACKAGES, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
CROPS = 4
CAMERAS = 6
CAMERA = 2
STATISTICS = ("running_mean", "running_var")


def import_boxmot() -> None:
    """BoxMOT's package without its ``__init__``, which would import trackers that need packages not installed here."""
    sys.path.insert(0, str(PACKAGES))
    boxmot = ModuleType("boxmot")
    boxmot.__path__, boxmot.__version__ = [str(PACKAGES / "boxmot")], "16.0.11"
    sys.modules["boxmot"] = boxmot


def randomise(model: torch.nn.Module) -> None:
    """Every weight and every statistic: what is fresh is often an identity, which would hide a mistake."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif name.endswith("running_mean"):
                tensor.normal_(0.0, 0.3)
            elif tensor.is_floating_point() and tensor.ndim == 1:
                tensor.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
            elif tensor.is_floating_point():
                tensor.normal_(0.0, (2.0 / tensor[0].numel()) ** 0.5)


def openai_clip() -> dict[str, torch.Tensor]:
    """What OpenAI's download holds: the real image encoder's shapes, and a text encoder as small as it can be."""
    from boxmot.reid.backbones.clip.clip.model import CLIP

    vision = {"vision_layers": 12, "vision_width": 768, "vision_patch_size": 16, "vision_stride_size": 16}
    text = {"context_length": 4, "vocab_size": 8, "transformer_width": 64, "transformer_heads": 1}
    sizes = {"image_resolution": 224, "h_resolution": 14, "w_resolution": 14, "transformer_layers": 1}
    return CLIP(embed_dim=512, **vision, **text, **sizes).state_dict()


def clip_reid(stride: int) -> torch.nn.Module:
    from boxmot.reid.backbones.clip.config.defaults import _C as config  # noqa: N811
    from boxmot.reid.backbones.clip.make_model import make_model

    config.MODEL.STRIDE_SIZE = [stride, stride]
    config.MODEL.SIE_COE = 1.0  # as the authors trained theirs
    model = make_model(config, num_class=751, camera_num=CAMERAS, view_num=1)
    randomise(model)
    return model.eval()


def published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The authors save the whole training model: prompts and text encoder too."""
    training = {
        "prompt_learner.cls_ctx": torch.randn(751, 4, 8),
        "prompt_learner.token_prefix": torch.randn(1, 5, 8),
        "prompt_learner.token_suffix": torch.randn(1, 68, 8),
        "text_encoder.positional_embedding": torch.randn(77, 8),
        "text_encoder.transformer.resblocks.0.attn.in_proj_weight": torch.randn(24, 8),
        "text_encoder.ln_final.weight": torch.randn(8),
        "text_encoder.text_projection": torch.randn(8, 8),
    }
    return {**model.state_dict(), **training}


def frame_of(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crops side by side as a BGR frame, and their boxes."""
    lefts = 128 * np.arange(len(crops))
    boxes = np.stack([lefts, 0 * lefts, lefts + 128, 0 * lefts + 256], axis=1).astype(np.float32)
    return np.ascontiguousarray(np.concatenate(list(crops), axis=1)[..., ::-1]), boxes


def osnet_answers(frame: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
    """The answers of every OSNet, whose checkpoints are written as torchreid's trainings write them."""
    from boxmot.reid.backends.pytorch_backend import PyTorchBackend
    from boxmot.reid.core.factory import MODEL_FACTORY

    answers = {}
    for name in (name for name in MODEL_FACTORY if name.startswith("osnet")):
        model = MODEL_FACTORY[name](num_classes=9, pretrained=False).eval()
        randomise(model)
        file = FOLDER / f"{name}_msmt17.pt"
        record = {"state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}}
        torch.save({**record, "epoch": 60, "rank1": np.float64(0.75), "optimizer": {"lr": 1e-3}}, file)
        if not answers:
            pixels = PyTorchBackend(file, torch.device("cpu"), half=False).get_crops(boxes, frame)
        with torch.inference_mode():
            answers[name] = model(pixels).numpy()
    return answers


def main() -> None:
    import_boxmot()
    for name in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "trunc_normal_"):
        setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)  # all is made random below, and once is enough
    import boxmot.reid.core  # noqa: F401  (first: BoxMOT's modules import one another in a circle)
    from boxmot.reid.backbones.clip.clip import clip
    from boxmot.reid.backends.pytorch_backend import PyTorchBackend

    torch.manual_seed(0)
    small = torch.rand(CROPS, 3, 8, 4)
    crops = torch.nn.functional.interpolate(small, (256, 128), mode="bicubic") + 0.1 * torch.randn(CROPS, 3, 256, 128)
    crops = (255 * crops.clip(0, 1)).byte().permute(0, 2, 3, 1).numpy()
    frame, boxes = frame_of(crops)
    answers = {"crops": crops}

    openai = FOLDER / "ViT-B-16.pt"
    torch.save(openai_clip(), openai)
    clip._download = lambda *_: str(openai)

    market = FOLDER / "clip_market1501.pt"
    torch.save(published(clip_reid(16)), market)
    backend = PyTorchBackend(market, torch.device("cpu"), half=False)
    for neck in ("after", "before"):
        backend.model.neck_feat = neck
        answers[f"clip_{neck}"] = backend.get_features(boxes, frame)

    overlapping = clip_reid(12)
    overlapping.cv_embed = torch.nn.Parameter(torch.randn(CAMERAS, 768))
    torch.save(published(overlapping), FOLDER / "clip_sie.pth")
    pixels = backend.get_crops(boxes, frame)
    with torch.inference_mode():
        answers["clip_camera"] = overlapping(pixels, cam_label=torch.full((CROPS,), CAMERA)).numpy()
        overlapping.cv_embed.copy_(overlapping.cv_embed.mean(dim=0).expand(CAMERAS, -1))
        answers["clip_mean"] = overlapping(pixels, cam_label=torch.full((CROPS,), CAMERA)).numpy()

    answers |= osnet_answers(frame, boxes)
    openai.unlink()
    np.savez(FOLDER / "answers.npz", **answers)


if __name__ == "__main__":
    main()
