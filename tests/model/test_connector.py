"""Pixel shuffle against its definition."""

import pytest
import torch

from ivl.model.connector import pixel_shuffle

GRID = torch.arange(2 * 36 * 5.0).view(2, 6, 6, 5)  # (N, rows, columns, C)


@pytest.mark.parametrize(("version", "transposed"), [("v2", False), ("v1", True)])
def test_token_holds_its_four_patches(version: str, transposed: bool) -> None:
    tokens = pixel_shuffle(GRID.view(2, 36, 5), 2, version)
    assert tokens.shape == (2, 9, 20)
    for i in range(3):
        for j in range(3):
            patches = [GRID[:, 2 * i + dy, 2 * j + dx] for dy in (0, 1) for dx in (0, 1)]
            place = 3 * j + i if transposed else 3 * i + j
            assert torch.equal(tokens[:, place], torch.cat(patches, dim=-1))


def test_factor_one_changes_nothing() -> None:
    assert torch.equal(pixel_shuffle(GRID.view(2, 36, 5), 1, "v2"), GRID.view(2, 36, 5))
