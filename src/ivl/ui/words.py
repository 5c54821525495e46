"""Every text of the page that a person reads, in English and Chinese, and the switch between them.

In: words.toml, one section for each part of the page. Out: texts by key, and updates of the components that were bound
to keys. Knows no model and no visitor.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

LANGUAGES = {"en": "English", "zh": "中文"}
FIRST = "en"


class Words:
    """The texts. One for each page that is built: it also holds which component shows which text."""

    def __init__(self, file: Path | None = None) -> None:
        file = file or Path(__file__).with_name("words.toml")
        self._sections: dict[str, dict[str, dict[str, str]]] = tomllib.loads(file.read_text(encoding="utf-8"))
        self._bound: list[tuple[Any, str, str]] = []
        self.language = gr.Radio(
            [(name, key) for key, name in LANGUAGES.items()], value=FIRST, render=False, interactive=True,
            label="Language / 语言", show_label=False, container=False, elem_id="ivl-language",
        )  # fmt: skip
        """What a visitor has chosen, "en" or "zh": an input of whatever answers in words."""

    def text(self, key: str, language: str = FIRST, **values: object) -> str:
        """The text of "section.name", its {places} filled with `values`."""
        section, _, name = key.partition(".")
        text = self._sections[section][name][language if language in LANGUAGES else FIRST]
        return text.format(**values) if values else text

    def section(self, name: str, language: str = FIRST) -> dict[str, str]:
        """All texts of a section, for a component that shows them itself; `code` is the language."""
        language = language if language in LANGUAGES else FIRST
        return {"code": language, **{key: texts[language] for key, texts in self._sections[name].items()}}

    def keys(self) -> tuple[str, ...]:
        """Every "section.name"."""
        return tuple(f"{section}.{name}" for section, names in self._sections.items() for name in names)

    def bind(self, component: Any, key: str, prop: str = "label") -> Any:
        """Show a text in a property of a component, in the language that is chosen; gives the component back.

        key: "section.name"; or "section" alone, for a property that takes all of its texts as a mapping.
        """
        assert key in self._sections or key in self.keys(), f"words.toml has no {key}"
        self._bound.append((component, key, prop))
        return component

    def connect(self) -> None:
        """Make the switch work. Called once, inside the Blocks, when every component has been bound."""
        components = list({id(component): component for component, _, _ in self._bound}.values())
        self.language.change(
            self._updates(components), self.language, components, concurrency_limit=None, show_progress="hidden",
            api_visibility="private",
        )  # fmt: skip

    def _updates(self, components: list[Component]) -> Any:
        def updates(language: str) -> list[dict[str, Any]] | dict[str, Any]:
            made = []
            for component in components:
                own: dict[str, Any] = {
                    prop: self._value(key, language) for each, key, prop in self._bound if each is component
                }
                made.append(gr.update(**own))
            return made if len(made) > 1 else made[0]

        return updates

    def _value(self, key: str, language: str) -> str | Mapping[str, str]:
        return self.text(key, language) if "." in key else self.section(key, language)
