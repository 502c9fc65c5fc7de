"""What rounding must not meet: variances that fp16 cannot hold, and weights beyond its range."""

import pytest
import torch
from torch import nn

from export.half import fold_normalisations, halve


@pytest.fixture
def network() -> nn.Sequential:
    """A dead channel, whose variance nothing is added to, and a live one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.BatchNorm2d(2, eps=0.0), nn.ReLU(), nn.BatchNorm2d(2))
    layers[1].running_var.copy_(torch.tensor([1e-12, 4.0]))
    layers[1].running_mean.copy_(torch.tensor([0.0, 0.5]))
    with torch.no_grad():
        layers[0].weight[0] *= 1e-6
    layers[3].running_var.fill_(2.0)
    return layers.eval()


def test_a_dead_channel_stays_finite(network: nn.Sequential) -> None:
    picture = torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8)
    with torch.no_grad():
        expected = network(picture)
        fold_normalisations(network, lambda: network(picture))
        torch.testing.assert_close(network(picture), expected)
        halve([network])
        torch.testing.assert_close(network(picture.half()).float(), expected, rtol=0, atol=5e-3)
    assert network[3].running_var.tolist() == [2.0, 2.0]  # no convolution before it
    assert network[1].eps == 0.0


def test_a_weight_beyond_the_range_is_named(network: nn.Sequential) -> None:
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = 1e5
    with pytest.raises(ValueError, match=r"^0\.weight does not fit half precision: export it in fp32$"):
        halve([network])
