"""The Q-Former against its definition, and connectors of other kinds from config.json to logits and back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ivl.errors import CheckpointError, ConfigError
from ivl.model.config import InternVLConfig, QFormerConfig
from ivl.model.config_export import to_official, to_transformers
from ivl.model.config_parse import parse_config
from ivl.model.connector_table import KEY, connector_rows, connector_scores, connector_shapes
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.join import renewed_config, whole_vocabulary, write_joined
from ivl.model.names import LAYOUTS, parameter_shapes, stored_tensors
from ivl.model.part import open_part
from ivl.model.qformer import QFormerConnector
from ivl.model.weights import load_model, save_model
from random_model import CONFIG, IMAGE_TOKEN, make_model, random_ids, random_tiles

SIZES = QFormerConfig(
    num_queries=3, hidden_size=24, num_layers=3, num_heads=4, intermediate_size=40, cross_every=2, norm_eps=1e-6
)
BASE = replace(CONFIG, text=replace(CONFIG.text, qkv_bias=True))
"""Qwen2's biases are no choice of a config.json."""
KINDS = {
    "mlp": BASE,
    "linear": replace(BASE, connector="linear"),
    "qformer": replace(BASE, connector="qformer", qformer=SIZES),
}


def random_qformer(seed: int = 0) -> QFormerConnector:
    torch.manual_seed(seed)
    connector = QFormerConnector(SIZES, 10, 7).double()
    for parameter in connector.parameters():
        nn.init.normal_(parameter, std=0.4)
    return connector.eval()


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + layer.eps).sqrt() * layer.weight + layer.bias


def attend(layer: nn.Module, x: Tensor, seen: Tensor) -> Tensor:
    """One tile, head by head."""
    q, k, v = layer.q_proj(x), layer.k_proj(seen), layer.v_proj(seen)
    heads = []
    for start in range(0, q.shape[-1], 6):
        part = slice(start, start + 6)
        heads.append((q[:, part] @ k[:, part].T / 6**0.5).softmax(-1) @ v[:, part])
    return layer.o_proj(torch.cat(heads, dim=-1))


def mlp(layer: nn.Module, x: Tensor) -> Tensor:
    inner = layer.fc1(x)
    return layer.fc2(inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))


def test_it_is_blip2s_encoder():
    connector = random_qformer()
    patches = torch.randn(2, 9, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = []
    for tile in patches:
        seen, x = norm(connector.vision_norm, tile), norm(connector.query_norm, connector.queries)
        for idx, layer in enumerate(connector.layers):
            x = norm(layer.norm1, x + attend(layer.attention, x, x))
            if idx in (0, 2):
                x = norm(layer.norm2, x + attend(layer.cross_attention, x, seen))
            x = norm(layer.norm3, x + mlp(layer.mlp, x))
        expected.append(connector.proj(x))
    torch.testing.assert_close(connector(patches), torch.stack(expected), rtol=1e-10, atol=1e-10)
    assert not hasattr(connector.layers[1], "cross_attention")


def test_the_order_of_patches_does_not_matter_but_their_content_does():
    connector = random_qformer()
    patches = torch.randn(1, 9, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(connector(patches), connector(patches.flip(1)))
    assert not torch.allclose(connector(patches), connector(-patches))


def test_it_begins_as_bert():
    torch.manual_seed(0)
    fresh = QFormerConnector(replace(SIZES, hidden_size=64), 32, 16)
    weight = fresh.layers[0].attention.q_proj.weight
    assert 0.015 < weight.detach().std() < 0.025
    assert 0.01 < fresh.queries.detach().std() < 0.03
    assert not fresh.layers[2].cross_attention.k_proj.bias.any()


def test_text_needs_its_own_feed_forward_net():
    connector = random_qformer()
    x, seen = torch.zeros(1, 5, 24, dtype=torch.float64), torch.zeros(1, 9, 10, dtype=torch.float64)
    with pytest.raises(AssertionError, match="feed-forward"):
        connector.layers[0](x, seen)
    assert connector.layers[0](x, seen, None, lambda text: text).shape == (1, 5, 24)


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_says_what_the_modules_hold(kind):
    with torch.device("meta"):
        modules = {name: tuple(each.shape) for name, each in InternVL(KINDS[kind]).named_parameters()}
    assert parameter_shapes(KINDS[kind]) == modules
    for layout in LAYOUTS:
        rows = [row.name for tensor in stored_tensors(KINDS[kind], layout).values() for row in tensor.rows]
        assert sorted(set(rows)) == sorted(modules)


def test_the_mlp_is_as_it_was():
    names = [name for name in stored_tensors(BASE, "official") if name.startswith("mlp1")]
    assert names == ["mlp1.0.weight", "mlp1.0.bias", "mlp1.1.weight", "mlp1.1.bias", "mlp1.3.weight", "mlp1.3.bias"]
    raw = to_official(BASE)
    assert (raw["model_type"], raw["architectures"]) == ("internvl_chat", ["InternVLChatModel"])
    assert KEY not in raw


@pytest.mark.parametrize(
    ("kind", "tokens", "rows", "factor"), [("mlp", 4, 4, 2), ("linear", 4, 4, 2), ("qformer", 3, 16, 1)]
)
def test_tokens_of_a_tile(kind, tokens, rows, factor):
    config = KINDS[kind]
    assert (config.tokens_per_tile, config.connector_rows, config.shuffle_factor) == (tokens, rows, factor)
    model = make_model(config)
    tiles = random_tiles(2)
    assert model.shuffled_patches(tiles).shape == (2, rows, 32 * factor**2)
    assert model.encode_tiles(tiles).shape == (2, tokens, 48)


@pytest.mark.parametrize("kind", ["linear", "qformer"])
def test_a_folder_comes_back_as_it_was_and_says_who_reads_it(kind, tmp_path):
    model = make_model(KINDS[kind]).float()
    save_model(model, tmp_path / "out", max_shard_bytes=40_000)
    raw = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert raw[KEY]["kind"] == kind
    assert "only ivl" in raw[KEY]["note"]
    assert raw["model_type"] != "internvl_chat"
    assert raw["architectures"] != ["InternVLChatModel"]
    again = load_model(tmp_path / "out")
    assert again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter), name


@pytest.mark.parametrize("kind", ["linear", "qformer"])
def test_transformers_has_no_such_connector(kind, tmp_path):
    with pytest.raises(ConfigError, match=f"no connector of the kind '{kind}'.*official"):
        to_transformers(KINDS[kind])
    with pytest.raises(ConfigError):
        save_model(make_model(KINDS[kind]), tmp_path / "out", "transformers")
    assert not (tmp_path / "out").exists()
    raw = to_transformers(BASE) | {KEY: {"kind": kind}}
    with pytest.raises(ConfigError, match=KEY):
        parse_config(raw, "config.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "q-former"}, "ivl_connector.kind='q-former' is not allowed"),
        ({"num_queries": 0}, "ivl_connector.num_queries=0 is not allowed: a whole number from 1"),
        ({"num_queries": 10**9}, "ivl_connector.num_queries=1000000000 is not allowed"),
        ({"num_heads": 5}, "hidden_size=24 is not a multiple of num_heads=5"),
        ({"num_layers": True}, "ivl_connector.num_layers=True"),
        ({"norm_eps": "small"}, "ivl_connector.norm_eps='small'"),
    ],
)
def test_a_wrong_field_is_named(changes, said):
    raw = to_official(KINDS["qformer"])
    raw[KEY] = raw[KEY] | changes
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, "config.json")
    assert said in str(caught.value)
    assert str(caught.value).startswith("config.json")
    assert "\n" not in str(caught.value)


def test_sizes_go_with_a_qformer_only():
    with pytest.raises(ConfigError, match="sizes go with a Q-Former"):
        replace(BASE, connector="qformer")
    with pytest.raises(ConfigError, match="sizes go with a Q-Former"):
        replace(BASE, qformer=SIZES)


def test_weights_of_another_kind_are_refused(tmp_path):
    save_model(make_model(KINDS["linear"]), tmp_path / "out")
    raw = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    raw[KEY] = {"kind": "mlp"}
    (tmp_path / "out" / "config.json").write_text(json.dumps(raw), "utf-8")
    with pytest.raises(CheckpointError, match="mlp1"):
        load_model(tmp_path / "out")


@pytest.mark.parametrize("kind", ["linear", "qformer"])
def test_fused_as_in_the_engine_it_says_the_same(kind):
    model = make_model(KINDS[kind]).float()
    ids = torch.cat((random_ids(5), torch.full((2 * model.config.tokens_per_tile,), IMAGE_TOKEN), random_ids(4)))
    tiles = random_tiles(2).float()
    with torch.inference_mode():
        plain = model(ids, tiles).logits
        torch.testing.assert_close(apply_fused(model)(ids, tiles).logits, plain, rtol=1e-4, atol=1e-4)


def renew(source: Path, folder: Path, config: InternVLConfig, seed: int) -> InternVL:
    folder.mkdir()
    eyes, mind = open_part(source, "vision_model"), open_part(source, "language_model")
    write_joined(eyes, mind, config, whole_vocabulary(config), folder, dtype="float32", seed=seed)
    return load_model(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_connector_changes_nothing_else(kind, tmp_path):
    old = make_model(replace(BASE, max_tiles=5, select_layer=-2)).float()
    save_model(old, tmp_path / "old")
    config = renewed_config(old.config, kind, SIZES)
    one, same, other = (renew(tmp_path / "old", tmp_path / str(n), config, seed) for n, seed in enumerate((1, 1, 2)))
    assert (one.config.max_tiles, one.config.select_layer, one.config.connector) == (5, -2, kind)
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, same.get_parameter(name)), name
        if not name.startswith("connector"):
            assert torch.equal(parameter, old.get_parameter(name)), name
    weight = {"mlp": "fc1.weight", "linear": "linear.weight", "qformer": "queries"}[kind]
    fresh = one.get_parameter(f"connector.{weight}")
    assert not torch.equal(fresh, other.get_parameter(f"connector.{weight}"))
    assert bool(fresh.isfinite().all())


def test_and_back_to_the_mlp(tmp_path):
    save_model(make_model(KINDS["qformer"]).float(), tmp_path / "old")
    config = renewed_config(KINDS["qformer"], "mlp")
    assert renew(tmp_path / "old", tmp_path / "new", config, 0).config == BASE


def test_blip2s_sizes_where_nothing_is_said():
    sizes = renewed_config(BASE, "qformer").qformer
    assert sizes is not None
    assert (sizes.num_queries, sizes.hidden_size, sizes.num_layers, sizes.intermediate_size) == (32, 768, 12, 3072)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_each_map_are_those_that_it_meets(kind):
    """Counted in a forward, as a check of what costs are computed from."""
    model, met = make_model(KINDS[kind]), {}
    for name, module in model.connector.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda m, x, y, name=name: met.update({f"connector.{name}": y.shape[1]}))
    model.encode_tiles(random_tiles(1))
    assert connector_rows(KINDS[kind]) == met
    assert list(connector_rows(KINDS[kind]))[-1] == list(met)[-1]


def test_scores_by_hand():
    assert connector_scores(BASE) == 0
    # Three layers of 3 x 3, two of which look at 16 patches: products of width 24, scores and values.
    assert connector_scores(KINDS["qformer"]) == 2 * 2 * 24 * (3 * 9 + 2 * 3 * 16)
    assert len(connector_shapes(KINDS["qformer"])["queries"]) == 2
