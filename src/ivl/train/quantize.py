"""QLoRA's base: the frozen linear maps of the decoder's layers in 4 bits (Dettmers et al. 2023, arXiv 2305.14314).

In: a model with weights in the arithmetic's type, before adapters are put on. Out: the same model with bitsandbytes'
`Linear4bit` in place of those maps: NF4, blocks of 64 weights, their scales in 8 bits; 0.516 bytes a weight. The head,
the embeddings, the vision model and the connector stay as they are. Knows no files and no adapters.

Weights are made small one map at a time, and each old one is let go: a model that was loaded on the CPU costs the
device its 4 bits and one map more, never the whole in 16 bits, which the host's memory holds meanwhile. PEFT wraps
`Linear4bit` natively once the model says that it is loaded so; gradients go through to adapters, never to the weights.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ivl.errors import MissingExtraError
from ivl.model.internvl import InternVL


def apply_nf4(model: InternVL, device: torch.device | str, dtype: torch.dtype) -> None:
    """Replace the linear maps of `language_model.layers` by 4-bit ones on `device`, whose products are in `dtype`.

    The rest of the model is left where it is. Works on a CPU too, slowly. Raises MissingExtraError.
    """
    bitsandbytes = _import()
    for layer in model.language_model.layers:
        for path, child in list(layer.named_modules()):
            if isinstance(child, nn.Linear):
                parent, _, name = path.rpartition(".")
                setattr(layer.get_submodule(parent), name, _in_four_bits(bitsandbytes, child, device, dtype))
    # What PEFT asks for before it wraps a Linear4bit as one.
    model.is_loaded_in_4bit = True  # type: ignore[assignment]


def _in_four_bits(bitsandbytes: Any, linear: nn.Linear, device: torch.device | str, dtype: torch.dtype) -> nn.Module:
    """A Linear4bit with the weights of `linear`, which lets go of them."""
    made: nn.Module = bitsandbytes.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=dtype,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    weight = linear.weight.data
    linear.weight = nn.Parameter(torch.empty(0), requires_grad=False)
    # Moving it quantizes it.
    made.weight = bitsandbytes.nn.Params4bit(
        weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
    ).to(device)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.data.to(device), requires_grad=False)
    # It answers in the type it is asked in: autocast's norms are float32, which would make all that follows so too.
    made.register_forward_pre_hook(_ask_in_own_type)
    return made


def _ask_in_own_type(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    dtype = module.compute_dtype
    assert isinstance(dtype, torch.dtype), "a 4-bit map has a type for its products"
    return tuple(each.to(dtype) for each in inputs)


def _import() -> Any:
    try:
        import bitsandbytes
    except ImportError:
        raise MissingExtraError("quantization=nf4 needs bitsandbytes: pip install 'ivl[qlora]'") from None
    return bitsandbytes
