import pytest
import torch

from export.architectures import UnknownArchitectureError, build_detector, build_embedder


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"'yolo'; known: fasterrcnn_csp_pan, "):
        build_detector("yolo")


def test_the_demo_models_are_small() -> None:
    detector, embedder = build_detector("fasterrcnn_csp_pan"), build_embedder("lite0_bands")
    assert sum(parameter.numel() for parameter in detector.parameters()) < 5_500_000
    assert sum(parameter.numel() for parameter in embedder.parameters()) < 1_000_000


def test_the_embedder_takes_any_number_of_crops() -> None:
    with torch.inference_mode():
        assert build_embedder("lite0_bands").eval()(torch.zeros(2, 3, 256, 128)).shape == (2, 256)
