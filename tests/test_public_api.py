"""The public names: all of them can be imported, and asking for the package alone stays cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

import ivl

# What docs and outside users rely on; a name may be added here, none taken away.
NAMES = {
    "EngineConfig",
    "GenerationConfig",
    "ImagePart",
    "IvlError",
    "Message",
    "ModelInputs",
    "Pipeline",
    "PytorchEngineConfig",
    "Response",
    "Session",
    "TextPart",
    "TurbomindEngineConfig",
    "VideoPart",
    "__version__",
    "choose_grid",
    "load_config",
    "load_image",
    "load_model",
    "load_processor",
    "pipeline",
    "save_model",
    "split_tiles",
    "tiles_to_tensor",
}


def loaded_modules(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_dir_is_the_curated_list():
    assert set(dir(ivl)) == NAMES
    assert set(ivl.__all__) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_can_be_imported(name):
    assert getattr(ivl, name) is not None


def test_lmdeploys_names_are_the_same_class():
    assert ivl.TurbomindEngineConfig is ivl.EngineConfig
    assert ivl.PytorchEngineConfig is ivl.EngineConfig


def test_type_checkers_see_the_same_names():
    source = Path(ivl.__file__).read_text("utf-8")
    missing = [name for name in NAMES - {"__version__"} if f" as {name}\n" not in source]
    assert missing == []


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'pipelines'"):
        ivl.pipelines  # noqa: B018


@pytest.mark.parametrize("statement", ["import ivl", "import ivl; ivl.GenerationConfig(); ivl.EngineConfig()"])
def test_importing_loads_nothing_heavy(statement):
    heavy = {
        "torch",
        "numpy",
        "PIL",
        "tokenizers",
        "huggingface_hub",
        "click",
    }
    assert loaded_modules(statement) & heavy == set()
