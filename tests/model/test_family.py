"""The published models have their published sizes."""

import torch

from ivl.model.config_export import to_official, to_transformers
from ivl.model.config_parse import parse_config
from ivl.model.family import FAMILY, PUBLISHED_PARAMETERS
from ivl.model.internvl import InternVL


def as_printed(count: int, like: str) -> str:
    """A number of parameters with the unit and the decimals of `like` ("2.21B")."""
    unit = {"M": 1e6, "B": 1e9}[like[-1]]
    decimals = len(like[:-1].partition(".")[2])
    return f"{count / unit:.{decimals}f}{like[-1]}"


def test_every_model_has_its_published_number_of_parameters() -> None:
    counts = {}
    for name, config in FAMILY.items():
        with torch.device("meta"):
            counts[name] = sum(parameter.numel() for parameter in InternVL(config).parameters())
    printed = {name: as_printed(count, PUBLISHED_PARAMETERS[name]) for name, count in counts.items()}
    assert printed == dict(PUBLISHED_PARAMETERS)
    # Counted from the tensors of the published checkpoint by https://huggingface.co/OpenExplorer/InternVL3_5-1B.
    assert as_printed(counts["InternVL3_5-1B"], "1.061B") == "1.061B"


def test_all_generations_are_there() -> None:
    sizes = {name.split("-")[0]: [] for name in FAMILY}
    for name in FAMILY:
        sizes[name.split("-")[0]].append(name.split("-")[-1])
    assert sizes == {
        "InternVL2": ["1B", "2B", "4B", "8B", "26B", "40B", "76B"],
        "InternVL2_5": ["1B", "2B", "4B", "8B", "26B", "38B", "78B"],
        "InternVL3": ["1B", "2B", "8B", "14B", "38B", "78B"],
        "InternVL3_5": ["1B", "2B", "4B", "8B", "14B", "38B"],
    }


def test_every_model_makes_256_tokens_a_tile_and_has_its_image_token_in_the_vocabulary() -> None:
    for name, config in FAMILY.items():
        assert config.tokens_per_tile == 256, name
        assert config.image_token_id is not None
        assert config.image_token_id < config.text.vocab_size, name


def test_every_model_can_be_written_in_both_layouts_and_read_again() -> None:
    for name, config in FAMILY.items():
        if config.text.rope.kind == "long":  # its factors stand in its own config.json only
            continue
        assert parse_config(to_official(config), name) == config
        assert parse_config(to_transformers(config), name) == config
