"""InternViT: its two kinds, the chosen layer, tiles of other sizes."""

from dataclasses import replace

import pytest
import torch

from ivl.model.config import InternVLConfig
from random_model import CONFIG, make_model, random_tiles


def vision(**changes: object) -> InternVLConfig:
    return replace(CONFIG, vision=replace(CONFIG.vision, **changes))


def test_select_layer_counts_from_the_embeddings() -> None:
    model, tiles = make_model().vision_model, random_tiles(1)
    assert torch.equal(model(tiles, 0), model.embed(tiles))
    assert torch.equal(model(tiles, -1), model(tiles, 2))
    assert torch.equal(model(tiles, -2), model.layers[0](model.embed(tiles)))


def test_a_tile_does_not_depend_on_its_neighbours() -> None:
    model, tiles = make_model().vision_model, random_tiles(3)
    assert torch.allclose(model(tiles)[1], model(tiles[1:2])[0], rtol=0, atol=1e-12)


def test_patches_are_read_row_by_row() -> None:
    model, tiles = make_model().vision_model, random_tiles(1)
    weight, bias = model.patch_embedding.weight, model.patch_embedding.bias
    # Patch (1, 2) of a 4 x 4 grid is number 6, and number 7 behind the class token.
    patch = tiles[0, :, 14:28, 28:42].reshape(-1)
    assert torch.allclose(model.embed(tiles)[0, 7], weight @ patch + bias + model.position_embedding[7])


def test_positions_are_interpolated_for_other_sizes() -> None:
    model = make_model().vision_model
    assert model.positions(4, 4) is model.position_embedding
    assert model.positions(6, 2).shape == (13, 32)
    assert torch.equal(model.positions(6, 6)[0], model.position_embedding[0])


@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_the_norms_kind_is_the_configs(kind: str) -> None:
    names = set(make_model(vision(norm_type=kind, qk_norm=True, qkv_bias=False)).state_dict())
    assert ("vision_model.layers.0.norm1.bias" in names) == (kind == "layer_norm")
    assert "vision_model.layers.0.attention.q_norm.weight" in names
    assert "vision_model.layers.0.attention.q_proj.bias" not in names
