"""What the rooms hand to each other: plain frozen dataclasses, no behaviour beyond checking their own values.

Knows no torch at import time, so that `import ivl` and `ivl --help` stay quick.
"""

from ivl.types.engine import EngineConfig
from ivl.types.generation import GenerationConfig
from ivl.types.values import (
    FinishReason,
    ImagePart,
    ImageSource,
    Message,
    ModelInputs,
    Part,
    Response,
    Role,
    TextPart,
    TokenLogprob,
    VideoPart,
)

__all__ = [
    "EngineConfig",
    "FinishReason",
    "GenerationConfig",
    "ImagePart",
    "ImageSource",
    "Message",
    "ModelInputs",
    "Part",
    "Response",
    "Role",
    "TextPart",
    "TokenLogprob",
    "VideoPart",
]
