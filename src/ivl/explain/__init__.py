"""How a model sees and works, drawn. Knows pictures and numbers; shows nothing on a screen by itself."""

from ivl.explain.grids import draw_grid

__all__ = ["draw_grid"]
