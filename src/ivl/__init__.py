"""ivl: the whole life of an InternVL2 vision-language model in one environment.

Public names are imported when they are first used, so that `import ivl` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ivl._version import __version__

if TYPE_CHECKING:
    from ivl.errors import IvlError as IvlError
    from ivl.model import load_config as load_config
    from ivl.model import load_model as load_model
    from ivl.model import save_model as save_model
    from ivl.processing import choose_grid as choose_grid
    from ivl.processing import load_image as load_image
    from ivl.processing import load_processor as load_processor
    from ivl.processing import split_tiles as split_tiles
    from ivl.processing import tiles_to_tensor as tiles_to_tensor
    from ivl.session import Pipeline as Pipeline
    from ivl.session import Session as Session
    from ivl.session import pipeline as pipeline
    from ivl.types import EngineConfig as EngineConfig
    from ivl.types import EngineConfig as PytorchEngineConfig
    from ivl.types import EngineConfig as TurbomindEngineConfig
    from ivl.types import GenerationConfig as GenerationConfig
    from ivl.types import ImagePart as ImagePart
    from ivl.types import Message as Message
    from ivl.types import ModelInputs as ModelInputs
    from ivl.types import Response as Response
    from ivl.types import TextPart as TextPart
    from ivl.types import VideoPart as VideoPart

_HOME = {
    "IvlError": "ivl.errors",
    "load_config": "ivl.model",
    "load_model": "ivl.model",
    "save_model": "ivl.model",
    "choose_grid": "ivl.processing",
    "load_image": "ivl.processing",
    "load_processor": "ivl.processing",
    "split_tiles": "ivl.processing",
    "tiles_to_tensor": "ivl.processing",
    "Pipeline": "ivl.session",
    "Session": "ivl.session",
    "pipeline": "ivl.session",
    "EngineConfig": "ivl.types",
    "GenerationConfig": "ivl.types",
    "ImagePart": "ivl.types",
    "Message": "ivl.types",
    "ModelInputs": "ivl.types",
    "Response": "ivl.types",
    "TextPart": "ivl.types",
    "VideoPart": "ivl.types",
}
# Names under which LMDeploy's users know EngineConfig.
_ALIASES = {"PytorchEngineConfig": "EngineConfig", "TurbomindEngineConfig": "EngineConfig"}

__all__ = ["__version__", *sorted(_HOME), *sorted(_ALIASES)]


def __getattr__(name: str) -> Any:
    target = _ALIASES.get(name, name)
    if target not in _HOME:
        raise AttributeError(f"module 'ivl' has no attribute {name!r}")
    value = getattr(import_module(_HOME[target]), target)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
