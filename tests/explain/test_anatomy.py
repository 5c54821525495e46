"""Sizes of models and costs of pictures."""

import pytest
from PIL import Image

import ivl
from ivl.explain.anatomy import anatomy, picture_cost


def test_parameters_are_those_of_the_model(tiny_folder):
    model = ivl.load_model(tiny_folder("tiny-internlm2"))
    body = anatomy(model.config)
    assert body.total_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert body.connector_parameters == sum(parameter.numel() for parameter in model.connector.parameters())
    assert body.weight_bytes["bfloat16"] == 2 * body.total_parameters


def test_cache_bytes_by_hand(tiny_folder):
    """Keys and values, 3 layers, 2 heads of 16 numbers of 4 bytes."""
    body = anatomy(ivl.load_config(tiny_folder("tiny-internlm2")))
    assert body.kv_bytes_per_token["float32"] == 2 * 3 * 2 * 16 * 4


@pytest.mark.parametrize("max_tiles", [None, 1, 3, 12])
@pytest.mark.parametrize("size", [(60, 30), (300, 200), (56, 56), (1, 500)])
def test_the_cost_is_what_the_processor_makes(tiny_folder, size, max_tiles):
    processor = ivl.load_processor(tiny_folder("tiny-qwen2"), max_tiles=max_tiles)
    inputs = processor([{"role": "user", "content": [{"type": "image", "image": Image.new("RGB", size)}]}])
    cost = picture_cost(processor.config, *size, max_tiles=max_tiles)
    assert (cost.num_tiles,) == inputs.tile_counts
    assert cost.num_tokens == int((inputs.input_ids == processor.image_token_id).sum())
    assert cost.columns * cost.rows + cost.has_thumbnail == cost.num_tiles


def test_the_phrase():
    from ivl.model.family import FAMILY

    config = FAMILY["InternVL2-2B"]
    assert picture_cost(config, 1344, 896).text() == (
        "1344x896 pixels, 3 x 2 tiles and a thumbnail, 1,792 image tokens"
    )
    assert picture_cost(config, 448, 448).text() == "448x448 pixels, 1 tile, 256 image tokens"
