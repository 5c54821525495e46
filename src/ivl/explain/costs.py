"""What work costs at least, as pure functions of a configuration: floating-point operations and bytes read.

In: an `InternVLConfig` and counts of tokens. Out: plain numbers. Knows no clock and no device.

Counted: 2 operations for each weight used and token, and attention's scores and values, of which causal attention
needs half. Left out, as below a hundredth: norms, activations, rope, biases.

Shapes: T tokens, P patches of a tile, I image tokens of a tile.
"""

import math
import re

from ivl.model.config import InternVLConfig
from ivl.model.connector_table import connector_rows, connector_scores
from ivl.model.names import parameter_shapes

_LAYER = re.compile(r"vision_model\.layers\.(\d+)\.")


def tile_flop(config: InternVLConfig) -> int:
    """One tile through the vision model, up to the layer that is read, and through the connector."""
    vision, depth = config.vision, range(config.vision.num_layers + 1)[config.select_layer]
    patches = (config.image_size // vision.patch_size) ** 2
    weights = {"patch": 0, "layers": 0}
    for name, shape in parameter_shapes(config).items():
        layer = _LAYER.match(name)
        if len(shape) == 1:
            continue
        if layer and int(layer[1]) < depth:
            weights["layers"] += math.prod(shape)
        elif name.startswith("vision_model.patch_embedding"):
            weights["patch"] += math.prod(shape)
    attention = 4 * depth * (1 + patches) ** 2 * vision.hidden_size
    products = weights["patch"] * patches + weights["layers"] * (1 + patches)
    return 2 * products + connector_flop(config) + attention


def connector_flop(config: InternVLConfig) -> int:
    """One tile through the connector, which is a part of `tile_flop`."""
    shapes = parameter_shapes(config)
    maps = connector_rows(config).items()
    return 2 * sum(math.prod(shapes[f"{path}.weight"]) * rows for path, rows in maps) + connector_scores(config)


def prefill_flop(config: InternVLConfig, num_tokens: int) -> int:
    """A prompt of this many tokens through the decoder, with the logits of its last token."""
    text = config.text
    attention = 2 * text.num_layers * num_tokens**2 * text.num_heads * text.head_dim
    return 2 * _layer_weights(config) * num_tokens + attention + 2 * text.hidden_size * text.vocab_size


def decode_flop(config: InternVLConfig, context: int) -> int:
    """One more token after `context` cached ones."""
    text = config.text
    attention = 4 * text.num_layers * (context + 1) * text.num_heads * text.head_dim
    return 2 * (_layer_weights(config) + text.hidden_size * text.vocab_size) + attention


def decode_weight_bytes(config: InternVLConfig, itemsize: int, product_itemsize: int | None = None) -> int:
    """The weights that one step of decoding reads: all of the decoder but an embedding table that is not its head.

    itemsize: bytes of a number; product_itemsize: of one in the products, the head's too, where they are quantized.
    """
    products = _layer_weights(config) + config.text.hidden_size * config.text.vocab_size
    total = sum(
        math.prod(shape)
        for name, shape in parameter_shapes(config).items()
        if name.startswith("language_model.") and (config.text.tie_embeddings or "embed_tokens" not in name)
    )
    return (total - products) * itemsize + products * (product_itemsize or itemsize)


def kv_bytes_per_token(config: InternVLConfig, itemsize: int) -> int:
    """The keys and values of one cached token."""
    return config.text.kv_numbers_per_token * itemsize


def _layer_weights(config: InternVLConfig) -> int:
    """Numbers in the decoder layers' matrices."""
    shapes = parameter_shapes(config).items()
    return sum(
        math.prod(shape) for name, shape in shapes if name.startswith("language_model.layers") and len(shape) > 1
    )
