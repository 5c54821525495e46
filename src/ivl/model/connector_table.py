"""Connectors as data: what config.json says of them, their parameters, and what those are called where they are stored.

In: fields of a config.json, or a configuration. Out: plain values. Knows no numbers and computes nothing.

The key `ivl_connector` is this package's own. A folder without it has the official MLP; one with it has another class
name and model type, so that official loaders refuse it instead of filling the gap with random numbers.
"""

from typing import Any, cast, get_args

from ivl.model.config import ConnectorKind, InternVLConfig, QFormerConfig
from ivl.model.config_fields import MAX_HEADS, MAX_LAYERS, Fields

KEY = "ivl_connector"
MAX_QUERIES = 2**14
_ONLY_HERE = "only ivl reads this folder: official code has no such connector"
_SIZES = {"hidden_size": 2**20, "num_layers": MAX_LAYERS, "num_heads": MAX_HEADS, "intermediate_size": 2**20}

MODULES = (
    # ours           official       transformers
    ("norm", "0", "layer_norm"),
    ("fc1", "1", "linear_1"),
    ("fc2", "3", "linear_2"),
    # Official code has none of these, so they keep their names.
    *((name, name, name) for name in ("linear", "queries", "vision_norm", "query_norm", "proj")),
)
"""Modules of all kinds of connectors, as in `names.py`."""
_LAYER_MODULES = (
    *(f"{kind}.{name}_proj" for kind in ("attention", "cross_attention") for name in "qkvo"),
    *("norm1", "norm2", "norm3", "mlp.fc1", "mlp.fc2"),
)
LAYER_MODULES = tuple((name, name, name) for name in _LAYER_MODULES)
"""Of a Q-Former's layer."""


def read_connector(fields: Fields) -> dict[str, Any]:
    """`connector` and `qformer` of an InternVLConfig, from a config.json. Raises ConfigError."""
    group = fields.group(KEY)
    if not group.values:
        return {}
    kind = cast(ConnectorKind, group.choice("kind", get_args(ConnectorKind)))
    if kind != "qformer":
        return {"connector": kind}
    default = QFormerConfig()
    sizes = {name: group.integer(name, getattr(default, name), high=high) for name, high in _SIZES.items()}
    qformer = QFormerConfig(
        num_queries=group.integer("num_queries", default.num_queries, high=MAX_QUERIES),
        cross_every=group.integer("cross_every", default.cross_every, high=MAX_LAYERS),
        norm_eps=group.number("norm_eps", default.norm_eps, high=1.0),
        **sizes,
    )
    return {"connector": kind, "qformer": qformer}


def write_connector(config: InternVLConfig) -> dict[str, Any]:
    """What config.json says of a connector that official code does not have; nothing for the MLP."""
    if config.connector == "mlp":
        return {}
    sizes: dict[str, Any] = {} if config.qformer is None else dict(vars(config.qformer))
    return {
        "architectures": ["IvlChatModel"],
        "model_type": "ivl_chat",
        KEY: {"kind": config.connector, **sizes, "note": _ONLY_HERE},
    }


def connector_shapes(config: InternVLConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter of the connector and its shape, without the part's own name."""
    width_in, width = config.vision.hidden_size * config.shuffle_factor**2, config.text.hidden_size
    if config.qformer is not None:
        return _qformer_shapes(config.qformer, width_in, width)
    if config.connector == "linear":
        return _linear("linear", width, width_in)
    return _norm("norm", width_in) | _linear("fc1", width, width_in) | _linear("fc2", width, width)


def connector_rows(config: InternVLConfig) -> dict[str, int]:
    """How many rows each linear map of the connector is given for one tile, by its module path, in forward order."""
    num_queries, num_patches = config.tokens_per_tile, config.connector_rows
    paths = [name.removesuffix(".weight") for name, shape in connector_shapes(config).items() if len(shape) == 2]
    paths = sorted((path for path in paths if path != "queries"), key=lambda path: path == "proj")
    seen = ("cross_attention.k_proj", "cross_attention.v_proj")
    return {f"connector.{path}": num_patches if path.endswith(seen) else num_queries for path in paths}


def connector_scores(config: InternVLConfig) -> int:
    """Operations of a Q-Former's attention, scores and values, for one tile; 0 for the other kinds."""
    if config.qformer is None:
        return 0
    qformer, num_queries = config.qformer, config.qformer.num_queries
    crossing = sum(qformer.has_cross(idx) for idx in range(qformer.num_layers))
    pairs = qformer.num_layers * num_queries**2 + crossing * num_queries * config.connector_rows
    return 4 * pairs * qformer.hidden_size


def _qformer_shapes(qformer: QFormerConfig, width_in: int, width_out: int) -> dict[str, tuple[int, ...]]:
    width, inner = qformer.hidden_size, qformer.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {"queries": (qformer.num_queries, width)}
    shapes |= _norm("vision_norm", width_in) | _norm("query_norm", width) | _linear("proj", width_out, width)
    for idx in range(qformer.num_layers):
        layer = _attention("attention", width, width) | _norm("norm1", width)
        if qformer.has_cross(idx):
            layer |= _attention("cross_attention", width, width_in) | _norm("norm2", width)
        layer |= _linear("mlp.fc1", inner, width) | _linear("mlp.fc2", width, inner) | _norm("norm3", width)
        shapes |= {f"layers.{idx}.{name}": shape for name, shape in layer.items()}
    return shapes


def _attention(path: str, width: int, width_seen: int) -> dict[str, tuple[int, ...]]:
    seen = {name: width_seen if name in "kv" else width for name in "qkvo"}
    parts = [_linear(f"{path}.{name}_proj", width, columns) for name, columns in seen.items()]
    return {name: shape for part in parts for name, shape in part.items()}


def _linear(path: str, out: int, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (out, width), f"{path}.bias": (out,)}


def _norm(path: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (width,), f"{path}.bias": (width,)}
