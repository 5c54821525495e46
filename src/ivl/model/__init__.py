"""Weights and maths of InternVL. Knows no text, no pictures, no processes."""

from ivl.model.config import InternVLConfig, RopeConfig, TextConfig, VisionConfig
from ivl.model.config_io import load_config
from ivl.model.internvl import InternVL, Output
from ivl.model.weights import load_model, save_model

__all__ = [
    "InternVL",
    "InternVLConfig",
    "Output",
    "RopeConfig",
    "TextConfig",
    "VisionConfig",
    "load_config",
    "load_model",
    "save_model",
]
