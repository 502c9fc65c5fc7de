"""Networks in half precision, their normalisations folded beforehand.

A variance of a dead channel is below what fp16 can hold: rounded to 0, and where nothing is added to it, it makes the
whole channel infinite. So each normalisation goes into the convolution before it in single precision, and only the
product is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights


def fold_normalisations(network: nn.Module, run: Callable[[], object]) -> None:
    """Folds every ``BatchNorm2d`` of ``network`` that is given a convolution's output into that convolution, in place.

    ``run`` runs the network once, which shows what follows what. The normalisation stays, as an exact identity.
    """
    made: list[tuple[Tensor, nn.Conv2d]] = []
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}

    def note_convolution(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made.append((output, module))

    def note_normalisation(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.BatchNorm2d):
            before = next((convolution for output, convolution in made if output is inputs[0]), None)
            if before is not None:
                pairs[module] = before

    handles = [part.register_forward_hook(note_convolution) for part in network.modules()]
    handles += [part.register_forward_pre_hook(note_normalisation) for part in network.modules()]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    for normalisation, convolution in pairs.items():
        _fold(convolution, normalisation)


def halve(networks: Iterable[nn.Module]) -> None:
    """Rounds all weights to fp16, in place. Raises ``ValueError`` where one is beyond its range."""
    for network in networks:
        network.half()
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise ValueError(f"{name} does not fit half precision: export it in fp32")


def _fold(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    mean, variance = normalisation.running_mean, normalisation.running_var
    if mean is None or variance is None:
        return
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        mean,
        variance,
        normalisation.eps,
        normalisation.weight,
        normalisation.bias,
    )
    normalisation.reset_running_stats()
    normalisation.eps = 0.0
    with torch.no_grad():
        for parameter, value in ((normalisation.weight, 1.0), (normalisation.bias, 0.0)):
            parameter.fill_(value)
