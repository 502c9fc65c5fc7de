import pytest
import torch
from torch.nn import functional

from demo.training.reid import contrast_loss, triplet_loss

LABELS = torch.tensor([0, 0, 1, 1])


def test_triplets_are_cheaper_where_people_are_apart() -> None:
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mixed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert triplet_loss(apart, LABELS) < 0.01
    assert triplet_loss(mixed, LABELS) > 5


def test_contrast_of_pairs_is_cross_entropy_over_the_others() -> None:
    embeddings = functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    rows = []
    for row, own in enumerate([1, 0, 3, 2]):
        others = [other for other in range(4) if other != row]
        rows.append(
            functional.cross_entropy(embeddings[others] @ embeddings[row] / 0.5, torch.tensor(others.index(own)))
        )
    assert float(contrast_loss(embeddings, LABELS, 0.5)) == pytest.approx(float(torch.stack(rows).mean()))
