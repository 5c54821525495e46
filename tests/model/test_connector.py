"""Pixel shuffle and the linear connector against their definitions; one kind of connector for each word."""

from dataclasses import replace

import pytest
import torch

from ivl.model.config import QFormerConfig
from ivl.model.connector import Connector, LinearConnector, make_connector, pixel_shuffle
from ivl.model.qformer import QFormerConnector
from random_model import CONFIG

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


def test_linear_is_one_product() -> None:
    connector = LinearConnector(20, 7)
    tokens = torch.randn(2, 9, 20, generator=torch.Generator().manual_seed(0))
    expected = tokens @ connector.linear.weight.T + connector.linear.bias
    torch.testing.assert_close(connector(tokens), expected)


def test_a_kind_for_each_word() -> None:
    sizes = QFormerConfig(num_queries=5, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8)
    made = [make_connector(replace(CONFIG, connector=kind)) for kind in ("mlp", "linear")]
    made.append(make_connector(replace(CONFIG, connector="qformer", qformer=sizes)))
    assert [type(each) for each in made] == [Connector, LinearConnector, QFormerConnector]
    for connector, width, tokens in zip(made, (128, 128, 32), (4, 4, 5), strict=True):
        assert connector(torch.zeros(2, 4, width)).shape == (2, tokens, 48)
