"""Pixels and prompts: the very same code for training and for serving. Knows no weights and no engine."""

from ivl.processing.images import load_image
from ivl.processing.processor import Processor, load_processor
from ivl.processing.tiling import choose_grid, split_tiles, tiles_to_tensor

__all__ = ["Processor", "choose_grid", "load_image", "load_processor", "split_tiles", "tiles_to_tensor"]
