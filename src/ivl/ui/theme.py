"""How Gradio's own components look: the colours of static/style.css, and the system's fonts.

In: nothing. Out: a theme that fetches nothing.
"""

from gradio.themes import Base, Color

_FONT = (
    "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "sans-serif",
)  # fmt: skip
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
_GREEN = Color(
    "#e7f1ec",
    "#d3e6dc",
    "#b0d3c3",
    "#86bca5",
    "#549b80",
    "#2f7f62",
    "#1f6a50",
    "#185441",
    "#123f31",
    "#0c2b21",
    "#071a14",
)
_STONE = Color(
    "#faf8f4",
    "#f3f0ea",
    "#e3dfd7",
    "#cdc8be",
    "#a39d92",
    "#7b766c",
    "#5f5b54",
    "#45423c",
    "#2b2926",
    "#1f1e1b",
    "#161513",
)


def theme() -> Base:
    """The theme."""
    own = Base(primary_hue=_GREEN, secondary_hue=_GREEN, neutral_hue=_STONE, font=list(_FONT), font_mono=list(_MONO))
    colours = {
        "body_background_fill": "var(--ivl-paper)",
        "body_text_color": "var(--ivl-ink)",
        "body_text_color_subdued": "var(--ivl-soft)",
        "background_fill_primary": "var(--ivl-card)",
        "background_fill_secondary": "var(--ivl-paper)",
        "block_background_fill": "var(--ivl-card)",
        "block_label_text_color": "var(--ivl-soft)",
        "block_title_text_color": "var(--ivl-ink)",
        "block_info_text_color": "var(--ivl-soft)",
        "border_color_primary": "var(--ivl-line)",
        "block_border_color": "var(--ivl-line)",
        "input_background_fill": "var(--ivl-paper)",
        "input_border_color": "var(--ivl-line)",
        "button_primary_background_fill": "var(--ivl-accent)",
        "button_primary_background_fill_hover": "var(--ivl-accent)",
        "button_primary_text_color": "var(--ivl-on-accent)",
        "button_secondary_background_fill": "var(--ivl-card)",
        "button_secondary_background_fill_hover": "var(--ivl-accent-soft)",
        "button_secondary_text_color": "var(--ivl-ink)",
        "button_secondary_border_color": "var(--ivl-line)",
        "slider_color": "var(--ivl-accent)",
        "color_accent": "var(--ivl-accent)",
        "color_accent_soft": "var(--ivl-accent-soft)",
    }
    own.set(**colours, **{f"{name}_dark": value for name, value in colours.items() if name not in {"color_accent"}})
    own.set(block_shadow="none", block_radius="14px", input_radius="10px")
    own.set(button_large_radius="10px", button_medium_radius="10px", button_small_radius="10px")
    return own
