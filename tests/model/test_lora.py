"""Adapters beside the base answer as merged ones do, each row for itself, and leave no trace when they go."""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ivl.errors import AdapterError
from ivl.model.adapter_io import Adapter, LowRank
from ivl.model.attention import PackedAttention
from ivl.model.fused import PackedLinear, apply_fused, can_pack
from ivl.model.internvl import InternVL
from ivl.model.lora import AdaptedLinear, AdapterSet, merge
from ivl.model.quantized import apply_int8
from random_adapter import LANGUAGE, make_adapter
from random_model import CONFIG, make_model, prompt_with_tiles, random_ids, random_tiles

close = partial(torch.testing.assert_close, rtol=0, atol=1e-10)
either_form = pytest.mark.parametrize("prepare", [lambda model: model, apply_fused], ids=["unfused", "fused"])

LENGTHS = (3, 7, 1, 5, 1, 4, 2, 6)
NAMES = ("a", None, "b", "c", "c", "a", "d", "e")
# Of a fused product some columns; norms of every kind; products alone.
SOME_OWN = (
    "connector.",
    "language_model.norm.",
    "language_model.layers.0.input_norm.",
    "language_model.layers.1.mlp.gate_proj.",
    "language_model.layers.1.mlp.down_proj.",
    "vision_model.patch_embedding.",
    "vision_model.layers.0.norm2.",
    "vision_model.layers.1.attention.v_proj.",
    "vision_model.layers.1.mlp.fc2.",
)


def adapters() -> dict[str, Adapter]:
    """Of every module; of some parts of a fused product; of the language model alone, with another rank."""
    return {
        "a": make_adapter(1),
        "b": make_adapter(2, ends=("q_proj", "v_proj", "up_proj", "fc1"), scale=-0.6),
        "c": make_adapter(3, parts=("language_model",), ends=("k_proj", "o_proj", "down_proj"), rank=5),
        "d": make_adapter(4, dora=True, replaced=("connector.",)),
        "e": make_adapter(5, ends=("q_proj", "up_proj"), replaced=SOME_OWN),
    }


def merged(name: str | None) -> InternVL:
    model = make_model(qkv_bias=True)
    if name is not None:
        merge(model, adapters()[name])
    return model


def loaded_set(model: InternVL) -> AdapterSet:
    adapter_set = AdapterSet(model)
    for name, adapter in adapters().items():
        adapter_set.load(name, adapter)
    return adapter_set


@torch.inference_mode()
def logits(model: InternVL, ids: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, ...]:
    offsets = torch.tensor((0, *lengths)).cumsum(0)
    return model(ids, cu_seqlens=offsets).logits.split(lengths)


@either_form
def test_a_mixed_batch_equals_merged_models(prepare) -> None:
    ids, model = random_ids(sum(LENGTHS)), prepare(make_model(qkv_bias=True))
    loaded_set(model).route(list(zip(NAMES, LENGTHS, strict=True)))
    together = logits(model, ids, LENGTHS)
    for name, got, own in zip(NAMES, together, ids.split(LENGTHS), strict=True):
        (alone,) = logits(merged(name), own, (len(own),))
        close(got, alone)
    (base,) = logits(make_model(qkv_bias=True), ids[:3], (3,))
    assert (together[0] - base).abs().max() > 0.1, "the adapter changes nothing, so nothing was tested"


@either_form
def test_tiles_of_a_mixed_batch_equal_merged_models(prepare) -> None:
    tiles, model = random_tiles(6), prepare(make_model())
    loaded_set(model).route([("d", 1), ("e", 1), (None, 1), ("b", 1), ("c", 1), ("a", 1)])
    with torch.inference_mode():
        features = model.encode_tiles(tiles)
        for name, first, last in (("d", 0, 1), ("e", 1, 2), (None, 2, 3), ("b", 3, 4), ("c", 4, 5), ("a", 5, 6)):
            close(features[first:last], merged_features(name, tiles[first:last]))


def merged_features(name: str | None, tiles: Tensor) -> Tensor:
    return merged(name).encode_tiles(tiles)


@either_form
@pytest.mark.parametrize("name", ["a", "d", "e"])
def test_a_whole_answer_equals_that_of_a_merged_model(name: str, prepare) -> None:
    ids, tiles, model = prompt_with_tiles(1), random_tiles(1), prepare(make_model(qkv_bias=True))
    adapter_set = loaded_set(model)
    adapter_set.route([(name, 1)])
    with torch.inference_mode():
        features = model.encode_tiles(tiles)
        adapter_set.route([(name, len(ids))])
        hidden = model.hidden_states(model.embed(ids, features), [0, len(ids)], PackedAttention([0, len(ids)]))
        close(model.language_model.logits(hidden), merged(name)(ids, tiles).logits)


@either_form
def test_rows_of_the_base_keep_every_bit(prepare) -> None:
    """Beside the same neighbours, with and without their adapters."""
    ids, tiles, model = random_ids(sum(LENGTHS)), random_tiles(4), prepare(make_model(qkv_bias=True))
    with torch.inference_mode():
        base, base_features = logits(model, ids, LENGTHS), model.encode_tiles(tiles)
        adapter_set = loaded_set(model)
        adapter_set.route(list(zip(NAMES, LENGTHS, strict=True)))
        assert torch.equal(logits(model, ids, LENGTHS)[1], base[1])
        adapter_set.route([("a", 1), (None, 2), ("b", 1)])
        assert torch.equal(model.encode_tiles(tiles)[1:3], base_features[1:3])
        adapter_set.route([])
        for got, wanted in zip(logits(model, ids, LENGTHS), base, strict=True):
            assert torch.equal(got, wanted)


@either_form
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
def test_other_types(prepare, dtype: torch.dtype, atol: float) -> None:
    """bfloat16 differs from float64 by its rounding alone: as much as the base does."""
    ids, tiles, small = random_ids(9), random_tiles(2), make_adapter(1, scale=0.3)
    exact = make_model()
    merge(exact, small)
    model = prepare(make_model().to(dtype))
    adapter_set = AdapterSet(model)
    adapter_set.load("small", small)
    with torch.inference_mode():
        adapter_set.route([("small", 9)])
        torch.testing.assert_close(model(ids).logits.double(), exact(ids).logits, rtol=0, atol=atol)
        adapter_set.route([("small", 2)])
        torch.testing.assert_close(model.encode_tiles(tiles).double(), exact.encode_tiles(tiles), rtol=0, atol=atol)


def test_weights_in_onednns_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a CPU runs a larger model: DoRA has to read such weights, an own connector has to stand before one."""
    monkeypatch.setattr("ivl.model.fused.WORTH_PACKING", 1)
    own = make_adapter(1, scale=0.3, dora=True, replaced=("connector.", "vision_model.layers.0.mlp.fc1."))
    exact, tiles, ids = make_model(qkv_bias=True), random_tiles(2), random_ids(9)
    merge(exact, own)
    model = apply_fused(make_model(qkv_bias=True).float())
    assert can_pack(torch.ones(1)) == any(isinstance(module, PackedLinear) for module in model.modules())
    adapter_set = AdapterSet(model)
    adapter_set.load("own", own)
    with torch.inference_mode():
        adapter_set.route([("own", 2)])
        torch.testing.assert_close(model.encode_tiles(tiles).double(), exact.encode_tiles(tiles), rtol=0, atol=1e-4)
        adapter_set.route([("own", 9)])
        torch.testing.assert_close(model(ids).logits.double(), exact(ids).logits, rtol=0, atol=1e-4)


def test_dora_needs_weights_in_floats() -> None:
    model = apply_int8(apply_fused(make_model().float(), spare_bytes=0))
    with pytest.raises(
        AdapterError, match="uses DoRA, which quantised weights do not allow: load the model unquantised"
    ):
        AdapterSet(model).load("dora", make_adapter(dora=True))
    AdapterSet(model).load("plain", make_adapter(replaced=("connector.",)))


def test_what_each_adapter_costs_is_few_products() -> None:
    """q, k and v share one product with their A; a base batch adds nothing to the base's own."""
    model = apply_fused(make_model())
    adapter_set = AdapterSet(model)
    adapter_set.load("a", make_adapter(1))
    qkv = model.language_model.layers[0].attention.qkv_proj
    x = torch.randn(4, 48, dtype=torch.float64)
    assert products(qkv, x) == products(qkv.base, x) == {"linear": 1}
    adapter_set.route([("a", 2), ("a", 1), (None, 1)])
    assert products(qkv, x) == {"linear": 2, "addmm_": 3}


def products(module: nn.Module, x: Tensor) -> dict[str, int]:
    counts: dict[str, int] = {}

    class Counter(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func.__name__ in {"linear", "addmm_", "matmul", "bmm", "cat", "clone"}:
                counts[func.__name__] = counts.get(func.__name__, 0) + 1
            return func(*args, **(kwargs or {}))

    with Counter(), torch.inference_mode():
        module(x)
    return counts


def test_runs_of_one_adapter_are_joined() -> None:
    model = make_model()
    adapter_set = loaded_set(model)
    adapter_set.route([("a", 2), ("a", 3), (None, 1), (None, 2), ("a", 1), ("b", 0), ("a", 4), ("b", 1)])
    adapted = model.language_model.layers[0].attention.q_proj
    uid_a, uid_b = adapter_set.uid("a"), adapter_set.uid("b")
    assert [(run.uid, run.start, run.stop) for run in adapted.route.runs] == [
        (uid_a, 0, 5),
        (uid_a, 8, 13),
        (uid_b, 13, 14),
    ]


def test_a_route_of_another_length_is_a_broken_invariant() -> None:
    model = make_model()
    loaded_set(model).route([("a", 4)])
    with pytest.raises(AssertionError, match="speaks of 4 rows, x has 5"):
        model(random_ids(5))


@either_form
def test_unloading_gives_the_model_back(prepare) -> None:
    model = prepare(make_model())
    modules, ids = list(model.named_modules()), random_ids(6)
    before = model(ids).logits
    adapter_set = loaded_set(model)
    assert adapter_set.names == ("a", "b", "c", "d", "e")
    adapter_set.route([("a", 6)])
    adapter_set.unload("a")
    assert adapter_set.names == ("b", "c", "d", "e")
    model(random_ids(5))  # of another length: the route has gone back to the base
    assert torch.equal(model(ids).logits, before)
    adapter_set.route([("c", 6)])
    close(model(ids).logits, merged_logits("c", ids))
    for name in ("c", "b", "e", "d"):
        adapter_set.unload(name)
    assert list(model.named_modules()) == modules


def merged_logits(name: str, ids: Tensor) -> Tensor:
    model = make_model()
    merge(model, adapters()[name])
    return model(ids).logits


def test_an_unloaded_adapter_frees_its_modules() -> None:
    model = make_model()
    adapter_set = loaded_set(model)
    for name in "ade":
        adapter_set.unload(name)
    left = {path for path, module in model.named_modules() if isinstance(module, AdaptedLinear)}
    assert left == set(adapters()["b"].weights) | set(adapters()["c"].weights)
    assert not any("lora" in name or "delta" in name for name in model.state_dict())


def test_every_load_has_its_own_uid() -> None:
    adapter_set, seen = AdapterSet(make_model()), set()
    for seed in range(3):
        adapter_set.load("same", make_adapter(seed))
        seen.add(adapter_set.uid("same"))
        adapter_set.unload("same")
    assert len(seen) == 3
    assert adapter_set.uid(None) == adapter_set.vision_uid(None) == 0
    assert 0 not in seen


def test_a_reloaded_adapter_answers_with_its_new_weights() -> None:
    model, ids = make_model(), random_ids(5)
    adapter_set = AdapterSet(model)
    for seed in (1, 2):
        adapter_set.load("same", make_adapter(seed))
        adapter_set.route([("same", 5)])
        wanted = make_model()
        merge(wanted, make_adapter(seed))
        close(model(ids).logits, wanted(ids).logits)
        adapter_set.unload("same")


def test_features_differ_only_for_adapters_of_the_vision_side() -> None:
    adapter_set = loaded_set(make_model())
    assert adapter_set.vision_uid("a") == adapter_set.uid("a") != 0
    assert adapter_set.vision_uid("c") == 0 != adapter_set.uid("c")
    assert make_adapter(parts=("connector",)).touches_vision
    assert make_adapter(parts=("language_model",), replaced=("connector.fc1",)).touches_vision
    assert not make_adapter(parts=("language_model",)).touches_vision


def test_names_that_are_not_loaded_or_loaded_twice() -> None:
    adapter_set = AdapterSet(make_model())
    for call in (
        adapter_set.unload,
        adapter_set.uid,
        adapter_set.vision_uid,
        lambda name: adapter_set.route([(name, 1)]),
    ):
        with pytest.raises(AdapterError, match="no adapter 'menu' is loaded; loaded: none"):
            call("menu")
    adapter_set.load("menu", make_adapter())
    with pytest.raises(AdapterError, match="'other' is loaded; loaded: 'menu'"):
        adapter_set.route([("menu", 1), ("other", 2)])
    with pytest.raises(AdapterError, match="'menu' is loaded already: unload it first"):
        adapter_set.load("menu", make_adapter())
    for name in ("", None, 3):
        with pytest.raises(AdapterError, match=r"adapter name .* is not allowed"):
            adapter_set.load(name, make_adapter())


def broken(path: str, **changes: object) -> Adapter:
    """An adapter whose first modules fit and whose `path` does not."""
    good = make_adapter(5)
    weights = dict(good.weights)
    weights[path] = replace(weights.get(path, LowRank(a=torch.ones(1, 1), b=torch.ones(1, 1), scale=1.0)), **changes)
    return Adapter(source="broken", weights=weights)


def owning(name: str, *shape: int, value: float = 1.0) -> Adapter:
    return replace(make_adapter(5, replaced=("connector.",)), replaced={name: torch.full(shape, value)})


LAST = "language_model.layers.1.mlp.down_proj"


@either_form
@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (
            broken(LAST, a=torch.ones(3, 65)),
            r"down_proj.lora_A' has the shape \[3, 65\], but the model needs \[3, 64\]",
        ),
        (
            broken(LAST, b=torch.ones(48, 2)),
            r"down_proj.lora_B' has the shape \[48, 2\], but the model needs \[48, 3\]",
        ),
        (broken(LAST, b=torch.full((48, 3), torch.nan)), "holds numbers that float64 cannot hold"),
        (broken("language_model.layers.2.mlp.down_proj"), "a module that the model does not have: did you mean"),
        (broken("language_model.lm_head"), "adapters of the vocabulary"),
        (Adapter(source="nothing", weights={}), "the adapter is empty"),
        (owning("connector.fc3.weight", 48, 48), "replaces 'connector.fc3.weight', which the model does not have"),
        (owning("connector.fc2.weight", 48, 49), r"has the shape \[48, 49\], but the model needs \[48, 48\]"),
        (owning("connector.fc2.weight", 48, 48), "replaces 'connector.fc2' but for its bias, and cannot run beside"),
        (
            owning("vision_model.layers.0.scale1", 32),
            "replaces 'vision_model.layers.0.scale1' and cannot run beside the",
        ),
        (owning("vision_model.class_embedding", 32), "cannot run beside the base: merge it first"),
        (owning("vision_model.position_embedding", 17, 32), "cannot run beside the base: merge it first"),
        (owning("language_model.embed_tokens.weight", 96, 48), "cannot run beside the base: merge it first"),
        (owning("language_model.lm_head.weight", 96, 48), "cannot run beside the base: merge it first"),
        (owning("language_model.norm.weight", 48, value=torch.inf), "holds numbers that float64 cannot hold"),
        (owning(f"{LAST}.weight", 48, 64), "both adapts and replaces 'language_model.layers.1.mlp.down_proj.weight'"),
        (broken(LAST, magnitude=torch.ones(47)), r"down_proj.lora_magnitude_vector' has the shape \[47\]"),
        (broken(LAST, magnitude=torch.full((48,), torch.nan)), "gives a magnitude to a row of zeros"),
    ],
)
def test_a_load_that_fails_changes_nothing(prepare, adapter: Adapter, message: str) -> None:
    model = prepare(make_model())
    adapter_set = AdapterSet(model)
    adapter_set.load("good", make_adapter(1, ends=("q_proj",)))
    adapter_set.route([("good", 4)])
    modules, before = list(model.named_modules()), model(random_ids(4)).logits
    with pytest.raises(AdapterError, match=message):
        adapter_set.load("bad", adapter)
    assert adapter_set.names == ("good",)
    assert list(model.named_modules()) == modules
    assert torch.equal(model(random_ids(4)).logits, before)
    adapter_set.load("bad", make_adapter(2))


def test_no_memory_while_loading_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    modules = list(model.named_modules())
    calls = iter(range(5))
    cat = torch.cat

    def failing(*args, **kwargs):
        if next(calls, None) is None:
            raise torch.OutOfMemoryError("no memory")
        return cat(*args, **kwargs)

    monkeypatch.setattr(torch, "cat", failing)
    with pytest.raises(torch.OutOfMemoryError):
        AdapterSet(model).load("a", make_adapter())
    assert list(model.named_modules()) == modules


def test_numbers_too_large_for_the_models_type() -> None:
    adapter_set = AdapterSet(make_model().half())
    with pytest.raises(AdapterError, match="holds numbers that float16 cannot hold"):
        adapter_set.load("large", make_adapter(scale=1e6))


def test_two_sets_on_one_model_are_a_broken_invariant() -> None:
    model = make_model()
    AdapterSet(model).load("a", make_adapter())
    with pytest.raises(AssertionError, match="another engine"):
        AdapterSet(model).load("a", make_adapter())


def test_merging_adds_the_products() -> None:
    model, adapter = make_model(), make_adapter(4)
    before = deepcopy(model)
    merge(model, adapter)
    changed = set()
    for (name, new), (_, old) in zip(model.named_parameters(), before.named_parameters(), strict=True):
        weight = adapter.weights.get(name.removesuffix(".weight"))
        if weight is None or not name.endswith(".weight"):
            assert torch.equal(new, old), name
            continue
        changed.add(name.removesuffix(".weight"))
        close(new, old + weight.scale * (weight.b @ weight.a))
    assert changed == set(adapter.weights)


def test_merging_rounds_once() -> None:
    model, exact = make_model().bfloat16(), make_model().bfloat16().float()
    merge(model, make_adapter(4))
    merge(exact, make_adapter(4))
    for got, wanted in zip(model.parameters(), exact.parameters(), strict=True):
        assert torch.equal(got, wanted.bfloat16())


@pytest.mark.parametrize("change", [apply_fused, lambda model: AdapterSet(model).load("a", make_adapter())])
def test_only_a_plain_model_is_merged(change) -> None:
    model = make_model()
    change(model)
    before = deepcopy(model.state_dict())
    with pytest.raises(AdapterError, match=r"cannot be merged: .* is fused, quantised or adapted already"):
        merge(model, make_adapter())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_misfit_is_not_merged() -> None:
    model = make_model()
    before = deepcopy(model.state_dict())
    with pytest.raises(AdapterError, match="but the model needs"):
        merge(model, broken(LAST, a=torch.ones(3, 65)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_every_linear_map_but_the_vocabulary_can_be_adapted() -> None:
    model = make_model()
    linears = {path for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert set(make_adapter().weights) == linears - {"language_model.lm_head"}
    assert set(LANGUAGE) <= {path.rpartition(".")[2] for path in make_adapter().weights}
    assert CONFIG.text.num_layers == 2
