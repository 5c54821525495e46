"""The published models as data: name -> InternVLConfig, and the parameter counts published with them.

In: nothing. Out: `FAMILY` and `PUBLISHED_PARAMETERS`. For building a model of a published shape and for
saying what a model costs before it is downloaded; a folder on disk is always read from its own config.json.

InternVL3 and 3.5 go without their 9B (InternLM3) and mixture-of-experts members: those decoders are not
implemented. Every head is stored apart from the embedding table, as the published counts show, also where
Qwen's own model ties it. The rope factors of InternVL2-4B (Phi-3, 48 short and 48 long ones) are left to its
config.json.

Sources: config.json of the models where public copies were found (InternVL2-2B, 8B, 26B, InternVL3-1B and
their base models), the base models' shapes and tokenizers (vocabulary = base + 9 added tokens) elsewhere.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ivl.model.config import Decoder, InternVLConfig, RopeConfig, Template, TextConfig, VisionConfig

VIT_300M = VisionConfig(hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096)
"""InternViT-300M-448px, distilled from the large one."""
VIT_6B = VisionConfig(
    hidden_size=3200,
    num_layers=45,
    num_heads=25,
    intermediate_size=12800,
    norm_type="rms_norm",
    qkv_bias=False,
    qk_norm=True,
)
"""InternViT-6B-448px-V1-5 and V2_5: 45 of the 48 layers that were trained."""


# Sizes of the vocabularies: the base model's tokens and InternVL's nine; Qwen3's is padded.
_INTERNLM2, _PHI3, _YI, _LLAMA3 = 92553, 32020, 64009, 128265
_QWEN2, _QWEN25, _QWEN3 = 151655, 151674, 151936
# Vocabulary -> id of <IMG_CONTEXT>.
_IMAGE_TOKEN_IDS = {
    _INTERNLM2: 92546, _PHI3: 32013, _YI: 64002, _LLAMA3: 128258,
    _QWEN2: 151648, _QWEN25: 151667, _QWEN3: 151671,
}  # fmt: skip
_PLAIN = RopeConfig(theta=1e6)
_DYNAMIC = RopeConfig(theta=1e6, kind="dynamic", factor=2.0)


def _text(
    decoder: Decoder,
    vocab_size: int,
    shape: tuple[int, int, int, int, int],
    rope: RopeConfig,
    max_positions: int,
    head_dim: int | None = None,
) -> TextConfig:
    """`shape`: width, layers, query heads, key-value heads, width of the MLP."""
    hidden_size, num_layers, num_heads, num_kv_heads, intermediate_size = shape
    return TextConfig(
        decoder=decoder,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim or hidden_size // num_heads,
        intermediate_size=intermediate_size,
        vocab_size=vocab_size,
        max_positions=max_positions,
        norm_eps=1e-6 if decoder in ("qwen2", "qwen3") else 1e-5,
        qkv_bias=decoder == "qwen2",
        qk_norm=decoder == "qwen3",
        rope=rope,
    )


def _internlm2(*shape: int, rope: RopeConfig = _DYNAMIC) -> TextConfig:
    hidden, layers, heads, inner = shape
    return _text("internlm2", _INTERNLM2, (hidden, layers, heads, 8, inner), rope, 32768)


def _qwen25(*shape: int, rope: RopeConfig = _PLAIN, vocab_size: int = _QWEN25) -> TextConfig:
    hidden, layers, heads, kv_heads, inner = shape
    return _text("qwen2", vocab_size, (hidden, layers, heads, kv_heads, inner), rope, 32768)


def _qwen3(*shape: int) -> TextConfig:
    hidden, layers, heads, inner = shape
    return _text("qwen3", _QWEN3, (hidden, layers, heads, 8, inner), _PLAIN, 40960, head_dim=128)


_PHI3_MINI = _text(
    "phi3", _PHI3, (3072, 32, 32, 32, 8192),
    RopeConfig(theta=1e4, kind="long", original_max_positions=4096), 131072,
)  # fmt: skip
_YI_34B = _text("llama", _YI, (7168, 60, 56, 8, 20480), RopeConfig(theta=5e6), 4096)
_LLAMA3_70B = _text("llama", _LLAMA3, (8192, 80, 64, 8, 28672), RopeConfig(theta=5e5), 8192)
_INTERNLM2_20B = _internlm2(6144, 48, 48, 16384, rope=RopeConfig(theta=1e6, kind="dynamic", factor=3.0))
_INTERNLM25_20B = _internlm2(6144, 48, 48, 16384, rope=RopeConfig(theta=5e7, kind="dynamic", factor=2.5))
_QWEN2_05B = _qwen25(896, 24, 14, 2, 4864, vocab_size=_QWEN2)

_ROWS: dict[str, tuple[VisionConfig, TextConfig, Template, str]] = {
    "InternVL2-1B": (VIT_300M, _QWEN2_05B, "Hermes-2", "938M"),
    "InternVL2-2B": (VIT_300M, _internlm2(2048, 24, 16, 8192), "internlm2-chat", "2.21B"),
    "InternVL2-4B": (VIT_300M, _PHI3_MINI, "phi3-chat", "4.15B"),
    "InternVL2-8B": (VIT_300M, _internlm2(4096, 32, 32, 14336), "internlm2-chat", "8.08B"),
    "InternVL2-26B": (VIT_6B, _INTERNLM2_20B, "internlm2-chat", "25.51B"),
    "InternVL2-40B": (VIT_6B, _YI_34B, "Hermes-2", "40.07B"),
    "InternVL2-Llama3-76B": (VIT_6B, _LLAMA3_70B, "internlm2-chat", "76.26B"),
    "InternVL2_5-1B": (VIT_300M, _qwen25(896, 24, 14, 2, 4864), "internvl2_5", "938M"),
    "InternVL2_5-2B": (VIT_300M, _internlm2(2048, 24, 16, 8192), "internvl2_5", "2.21B"),
    "InternVL2_5-4B": (VIT_300M, _qwen25(2048, 36, 16, 2, 11008), "internvl2_5", "3.71B"),
    "InternVL2_5-8B": (VIT_300M, _internlm2(4096, 32, 32, 14336), "internvl2_5", "8.08B"),
    "InternVL2_5-26B": (VIT_6B, _INTERNLM25_20B, "internvl2_5", "25.5B"),
    "InternVL2_5-38B": (VIT_6B, _qwen25(5120, 64, 40, 8, 27648), "internvl2_5", "38.4B"),
    "InternVL2_5-78B": (VIT_6B, _qwen25(8192, 80, 64, 8, 29568), "internvl2_5", "78.4B"),
    "InternVL3-1B": (VIT_300M, _qwen25(896, 24, 14, 2, 4864, rope=_DYNAMIC), "internvl2_5", "938M"),
    "InternVL3-2B": (VIT_300M, _qwen25(1536, 28, 12, 2, 8960, rope=_DYNAMIC), "internvl2_5", "2.09B"),
    "InternVL3-8B": (VIT_300M, _qwen25(3584, 28, 28, 4, 18944, rope=_DYNAMIC), "internvl2_5", "7.94B"),
    "InternVL3-14B": (VIT_300M, _qwen25(5120, 48, 40, 8, 13824, rope=_DYNAMIC), "internvl2_5", "15.1B"),
    "InternVL3-38B": (VIT_6B, _qwen25(5120, 64, 40, 8, 27648, rope=_DYNAMIC), "internvl2_5", "38.4B"),
    "InternVL3-78B": (VIT_6B, _qwen25(8192, 80, 64, 8, 29568, rope=_DYNAMIC), "internvl2_5", "78.4B"),
    "InternVL3_5-1B": (VIT_300M, _qwen3(1024, 28, 16, 3072), "internvl2_5", "1.1B"),
    "InternVL3_5-2B": (VIT_300M, _qwen3(2048, 28, 16, 6144), "internvl2_5", "2.3B"),
    "InternVL3_5-4B": (VIT_300M, _qwen3(2560, 36, 32, 9728), "internvl2_5", "4.7B"),
    "InternVL3_5-8B": (VIT_300M, _qwen3(4096, 36, 32, 12288), "internvl2_5", "8.5B"),
    "InternVL3_5-14B": (VIT_300M, _qwen3(5120, 40, 40, 17408), "internvl2_5", "15.1B"),
    "InternVL3_5-38B": (VIT_6B, _qwen3(5120, 64, 64, 25600), "internvl2_5", "38.4B"),
}

FAMILY: Mapping[str, InternVLConfig] = MappingProxyType(
    {
        name: InternVLConfig(
            vision=vision,
            text=text,
            template=template,
            image_token_id=_IMAGE_TOKEN_IDS[text.vocab_size],
        )
        for name, (vision, text, template, _) in _ROWS.items()
    }
)
"""Configurations by the models' names on the hubs, without the organisation (OpenGVLab)."""
PUBLISHED_PARAMETERS: Mapping[str, str] = MappingProxyType({name: row[-1] for name, row in _ROWS.items()})
"""Parameter counts as their publishers print them."""
