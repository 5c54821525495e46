"""One two-way table of tensor names: the official layout <-> ours <-> transformers' layout.

In: a configuration. Out: for each tensor that a layout stores, its name, its shape and the rows of our
parameters that make it up. Pure data about names and shapes; knows no files and no numbers.

A stored tensor's values are those of the row ranges of ours listed for it, one after another. That is all the
layouts differ in, because none of them computes anything: renaming (one range, all rows), stacking (`qkv` =
[q | k | v], `gate_up_proj` = [gate | up]), interleaving (InternLM2's `wqkv`: per key-value head its queries,
its key, its value) and other shapes of the same values (a convolution kernel for a linear map). Reading and
writing follow the same table in opposite directions, so a round trip changes no bit.

Shapes: C vision width, P patches of a tile, p pixels a patch side, D text width, V vocabulary, H/K query/KV
heads.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ivl.model import connector_table
from ivl.model.config import InternVLConfig, TextConfig

Layout = Literal["official", "transformers"]
LAYOUTS: tuple[Layout, ...] = ("official", "transformers")

# Modules; `.weight` and `.bias` follow. Ours that share a stored name are stacked in the order of the table,
# or interleaved by key-value head where that name is in _INTERLEAVED.
_VISION = (
    # ours               official                        transformers
    ("class_embedding", "embeddings.class_embedding", "embeddings.cls_token"),
    ("position_embedding", "embeddings.position_embedding", "embeddings.position_embeddings"),
    ("patch_embedding", "embeddings.patch_embedding", "embeddings.patch_embeddings.projection"),
)
_VISION_LAYERS = ("layers", "encoder.layers", "encoder.layer")
_VISION_LAYER = (
    ("norm1", "norm1", "layernorm_before"),
    ("attention.q_proj", "attn.qkv", "attention.q_proj"),
    ("attention.k_proj", "attn.qkv", "attention.k_proj"),
    ("attention.v_proj", "attn.qkv", "attention.v_proj"),
    ("attention.q_norm", "attn.q_norm", "attention.q_norm"),
    ("attention.k_norm", "attn.k_norm", "attention.k_norm"),
    ("attention.o_proj", "attn.proj", "attention.projection_layer"),
    ("scale1", "ls1", "lambda_1"),
    ("norm2", "norm2", "layernorm_after"),
    ("mlp.fc1", "mlp.fc1", "mlp.fc1"),
    ("mlp.fc2", "mlp.fc2", "mlp.fc2"),
    ("scale2", "ls2", "lambda_2"),
)
_TEXT = (
    # ours           InternLM2         Qwen2/3, Llama   Phi-3
    ("embed_tokens", "tok_embeddings", "embed_tokens", "embed_tokens"),
    ("norm", "norm", "norm", "norm"),
)
_TEXT_LAYER = (
    ("input_norm", "attention_norm", "input_layernorm", "input_layernorm"),
    ("attention.q_proj", "attention.wqkv", "self_attn.q_proj", "self_attn.qkv_proj"),
    ("attention.k_proj", "attention.wqkv", "self_attn.k_proj", "self_attn.qkv_proj"),
    ("attention.v_proj", "attention.wqkv", "self_attn.v_proj", "self_attn.qkv_proj"),
    ("attention.q_norm", "attention.q_norm", "self_attn.q_norm", "self_attn.q_norm"),
    ("attention.k_norm", "attention.k_norm", "self_attn.k_norm", "self_attn.k_norm"),
    ("attention.o_proj", "attention.wo", "self_attn.o_proj", "self_attn.o_proj"),
    ("post_norm", "ffn_norm", "post_attention_layernorm", "post_attention_layernorm"),
    ("mlp.gate_proj", "feed_forward.w1", "mlp.gate_proj", "mlp.gate_up_proj"),
    ("mlp.up_proj", "feed_forward.w3", "mlp.up_proj", "mlp.gate_up_proj"),
    ("mlp.down_proj", "feed_forward.w2", "mlp.down_proj", "mlp.down_proj"),
)
_INTERLEAVED = {"attention.wqkv"}
_PREFIXES = (
    # ours            official                transformers
    ("vision_model", "vision_model", "model.vision_tower"),
    ("connector", "mlp1", "model.multi_modal_projector"),
    ("language_model", "language_model.model", "model.language_model"),
)
_HEAD = "language_model.lm_head"
# transformers wrote other prefixes before 4.52; 5 still reads them, and so do we.
_OLD_PREFIXES = (
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.", "model.language_model."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
)
# Written by old versions of transformers; computed from the configuration, so never read.
_COMPUTED = re.compile(r"\.rotary_emb\.inv_freq$")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows `start` to `stop` of one of our parameters."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor of a layout: its values are those of `rows`, one after another."""

    name: str
    shape: tuple[int, ...]
    rows: tuple[Rows, ...]


def parameter_shapes(config: InternVLConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter of our model and its shape, from the configuration alone."""
    connector = _in_part("connector", connector_table.connector_shapes(config), {}, 0)
    return _vision_shapes(config) | connector | _text_shapes(config.text)


def stored_tensors(config: InternVLConfig, layout: Layout) -> dict[str, StoredTensor]:
    """All tensors of a model in `layout`, by name."""
    shapes = parameter_shapes(config)
    stacked: dict[str, list[str]] = {}
    for ours in shapes:
        stacked.setdefault(_stored_name(ours, config.text, layout), []).append(ours)
    return {name: _stored_tensor(name, ours, shapes, config) for name, ours in stacked.items()}


def modern_name(name: str, layout: Layout) -> str:
    """The name under which a stored tensor stands in the table, for one that older software wrote."""
    if layout == "transformers":
        for old, new in _OLD_PREFIXES:
            if name.startswith(old):
                return new + name.removeprefix(old)
    return name


def is_computed(name: str) -> bool:
    """Whether a stored tensor holds nothing that the configuration does not say."""
    return _COMPUTED.search(name) is not None


def head_name(config: TextConfig, layout: Layout) -> str:
    """What the output head is called where it is stored."""
    return _stored_name(f"{_HEAD}.weight", config, layout)


def part_of(ours: str) -> str:
    """Which of the three parts of the model a parameter of ours belongs to."""
    return ours.partition(".")[0]


def _stored_name(ours: str, text: TextConfig, layout: Layout) -> str:
    """The name in `layout` of the stored tensor that a parameter of ours goes into."""
    column = 1 + LAYOUTS.index(layout)
    if ours == f"{_HEAD}.weight":
        head = "output" if (layout, text.decoder) == ("official", "internlm2") else "lm_head"
        return f"language_model.{head}.weight" if layout == "official" else "lm_head.weight"
    part, _, rest = ours.partition(".")
    (prefix,) = (row[column] for row in _PREFIXES if row[0] == part)
    if part == "vision_model":
        return f"{prefix}.{_translate(rest, _VISION, _VISION_LAYER, _VISION_LAYERS[column], column)}"
    if part == "connector":
        return f"{prefix}.{_translate(rest, connector_table.MODULES, connector_table.LAYER_MODULES, 'layers', column)}"
    return f"{prefix}.{_translate(rest, _TEXT, _TEXT_LAYER, 'layers', _text_column(text, layout))}"


def _text_column(text: TextConfig, layout: Layout) -> int:
    if text.decoder == "phi3":
        return 3
    # transformers has no InternLM2 of its own: the same values make a Llama.
    return 1 if (layout, text.decoder) == ("official", "internlm2") else 2


def _translate(
    ours: str,
    top: tuple[tuple[str, ...], ...],
    layer: tuple[tuple[str, ...], ...],
    layers: str,
    column: int,
) -> str:
    """`ours`, without the part's name, by the tables of that part."""
    in_layer = re.fullmatch(r"layers\.(\d+)\.(.+)", ours)
    path = in_layer[2] if in_layer else ours
    module, suffix = path, ""
    if path.endswith((".weight", ".bias")):
        module, _, suffix = path.rpartition(".")
    (stored,) = (row[column] for row in (layer if in_layer else top) if row[0] == module)
    stored = f"{stored}.{suffix}" if suffix else stored
    return f"{layers}.{in_layer[1]}.{stored}" if in_layer else stored


def _stored_tensor(
    name: str, ours: list[str], shapes: dict[str, tuple[int, ...]], config: InternVLConfig
) -> StoredTensor:
    if any(f".{module}." in name for module in _INTERLEAVED):
        rows = _interleaved(ours, config.text)
    else:
        rows = tuple(Rows(name=part, start=0, stop=shapes[part][0]) for part in ours)
    if len(ours) > 1:
        shape = (sum(part.stop - part.start for part in rows), *shapes[ours[0]][1:])
    else:
        shape = _stored_shape(ours[0], shapes[ours[0]], config)
    return StoredTensor(name=name, shape=shape, rows=rows)


def _interleaved(ours: list[str], text: TextConfig) -> tuple[Rows, ...]:
    """Rows of `wqkv` viewed as (K, H / K + 2, head): the queries of a key-value head, its key, its value."""
    query, key, value = ours
    group = text.num_heads // text.num_kv_heads * text.head_dim
    rows: list[Rows] = []
    for head in range(text.num_kv_heads):
        rows.append(Rows(name=query, start=head * group, stop=(head + 1) * group))
        for name in (key, value):
            rows.append(Rows(name=name, start=head * text.head_dim, stop=(head + 1) * text.head_dim))
    return tuple(rows)


def _stored_shape(ours: str, shape: tuple[int, ...], config: InternVLConfig) -> tuple[int, ...]:
    patch = config.vision.patch_size
    return {
        "vision_model.class_embedding": (1, 1, *shape),
        "vision_model.position_embedding": (1, *shape),
        "vision_model.patch_embedding.weight": (shape[0], 3, patch, patch),
    }.get(ours, shape)


def _vision_shapes(config: InternVLConfig) -> dict[str, tuple[int, ...]]:
    vision = config.vision
    width, inner = vision.hidden_size, vision.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "class_embedding": (width,),
        "position_embedding": (1 + vision.patches_per_side**2, width),
        "patch_embedding.weight": (width, 3 * vision.patch_size**2),
        "patch_embedding.bias": (width,),
    }
    layer: dict[str, tuple[int, ...]] = {
        "norm1.weight": (width,),
        "norm2.weight": (width,),
        "scale1": (width,),
        "scale2": (width,),
    }
    if vision.norm_type == "layer_norm":
        layer |= {"norm1.bias": (width,), "norm2.bias": (width,)}
    if vision.qk_norm:
        layer |= {"attention.q_norm.weight": (width,), "attention.k_norm.weight": (width,)}
    layer |= _linears({f"attention.{name}_proj": (width, width) for name in "qkv"}, bias=vision.qkv_bias)
    linears = {"attention.o_proj": (width, width), "mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
    layer |= _linears(linears, bias=True)
    return _in_part("vision_model", shapes, layer, vision.num_layers)


def _text_shapes(text: TextConfig) -> dict[str, tuple[int, ...]]:
    width, inner = text.hidden_size, text.intermediate_size
    queries, keys = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (text.vocab_size, width),
        "norm.weight": (width,),
    }
    if not text.tie_embeddings:
        shapes["lm_head.weight"] = (text.vocab_size, width)
    layer: dict[str, tuple[int, ...]] = {"input_norm.weight": (width,), "post_norm.weight": (width,)}
    heads = {
        "attention.q_proj": (queries, width),
        "attention.k_proj": (keys, width),
        "attention.v_proj": (keys, width),
    }
    layer |= _linears(heads, bias=text.qkv_bias)
    layer |= _linears({"attention.o_proj": (width, queries)}, bias=text.o_bias)
    if text.qk_norm:
        layer |= {"attention.q_norm.weight": (text.head_dim,), "attention.k_norm.weight": (text.head_dim,)}
    gated = {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}
    layer |= _linears(gated, bias=False)
    return _in_part("language_model", shapes, layer, text.num_layers)


def _linears(shapes: dict[str, tuple[int, int]], bias: bool) -> dict[str, tuple[int, ...]]:
    """Weights of linear maps by (out, in), each with its bias if there is one."""
    out: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in shapes.items()}
    if bias:
        out |= {f"{name}.bias": shape[:1] for name, shape in shapes.items()}
    return out


def _in_part(
    part: str, shapes: dict[str, tuple[int, ...]], layer: dict[str, tuple[int, ...]], num_layers: int
) -> dict[str, tuple[int, ...]]:
    out = {f"{part}.{name}": shape for name, shape in shapes.items()}
    for idx in range(num_layers):
        out |= {f"{part}.layers.{idx}.{name}": shape for name, shape in layer.items()}
    return out
