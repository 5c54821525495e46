"""The models and adapters under test: from a person's words to pipelines that are open one at a time.

In: folders, hub ids, `name=folder`. Out: subjects with unique names; then pipelines, each with the subjects that it
answers for. Knows no questions.

A base model is in memory once for all adapters that can run beside it; an adapter that has to be merged (one that
replaces the vocabulary, say) gets a pipeline of its own. Two are never open at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ivl.errors import AdapterError, SettingsError, nearest
from ivl.evals.fingerprint import ADAPTER_FILES
from ivl.evals.item import Subject
from ivl.evals.settings import EvalSettings
from ivl.session import pipeline
from ivl.session.hardware import choose_device
from ivl.session.loading import find_folder
from ivl.types import GenerationConfig
from ivl.zoo import IN_THE_PACKAGE

_NAME = re.compile(r"\w[\w.+-]{0,79}")
_BATCH_GPU, _BATCH_CPU = 128, 16


class Answering(Protocol):
    """As much of a pipeline as an evaluation needs."""

    processor: Any
    engine: Any
    """Its `failure` says why it answers nobody any more; None while it does."""

    def stream(self, prompt: Any, gen_config: GenerationConfig | None = None, *, adapter: str | None = None) -> Any:
        """Responses with what is new in each, and `close` to stop them."""
        ...

    def load_adapter(self, name: str, folder: str) -> None:
        """Raises AdapterError where it cannot run beside the base."""
        ...

    def close(self) -> None:
        """Free the weights."""
        ...


Opener = Callable[[str, str | None, EvalSettings], Answering]
"""Folder, adapter that always answers or None, settings -> an open pipeline."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A pipeline and the subjects that it answers for, each with the adapter to name in calls."""

    pipe: Answering
    subjects: tuple[tuple[Subject, str | None], ...]


def make_subjects(models: Sequence[str], adapters: Sequence[str] = ()) -> tuple[Subject, ...]:
    """Models in their order, each followed by its adapters.

    models: a folder, a hub id, "zoo" for the model in the package, each alone or as `name=...`; none: that in the
    package. adapters: `name=folder` or a folder; with several models `name@model=folder`, by the model's name.
    Raises SettingsError for names that are not unique or unfit for a file, and what finding a model raises.
    """
    bases = [parse_subject(text) for text in models or (IN_THE_PACKAGE,)]
    _check_unique(bases)
    tuned = [_parse_adapter(text, bases) for text in adapters]
    subjects: list[Subject] = []
    for base in bases:
        subjects.append(base)
        subjects += [subject for owner, subject in tuned if owner is base]
    check_names(subjects)
    return tuple(subjects)


def parse_subject(text: str) -> Subject:
    """A model by `name=model` or `model`, named as its folder or id then. It is fetched where it is a hub's."""
    name, model = _split(text)
    folder = find_folder(None if model == IN_THE_PACKAGE else model)
    if not name:
        is_local = Path(model).expanduser().is_dir()
        name = model if model == IN_THE_PACKAGE else folder.resolve().name if is_local else _name_of_id(model)
    return Subject(name=_fit(name), folder=str(folder))


def check_names(subjects: Sequence[Subject]) -> None:
    """Raise SettingsError unless there are subjects, with names that are unique and fit for a folder."""
    if not subjects:
        raise SettingsError("no model is given: give at least one to evaluate")
    for subject in subjects:
        if not _NAME.fullmatch(subject.name):
            raise SettingsError(f"the name {subject.name!r:.90} is not allowed: letters, digits and . _ + - only")
    _check_unique(subjects)


def open_pipeline(folder: str, adapter: str | None, settings: EvalSettings) -> Answering:
    """The pipeline of one model folder under a run's settings."""
    config = settings.engine_config(batch_size(settings))
    return pipeline(folder, adapter, config, max_tiles=settings.max_tiles)


def batch_size(settings: EvalSettings) -> int:
    """Questions that a model answers at once."""
    return settings.batch or (_BATCH_CPU if choose_device(settings.device) == "cpu" else _BATCH_GPU)


def open_in_turn(subjects: Sequence[Subject], settings: EvalSettings, opener: Opener) -> Generator[Opened, None, None]:
    """A pipeline after another for all subjects, each closed when the next is asked for, or the iterator closed."""
    for folder in dict.fromkeys(subject.folder for subject in subjects):
        group = [subject for subject in subjects if subject.folder == folder]
        if len(group) == 1:
            yield from _open_one(group[0], settings, opener)
            continue
        pipe = opener(folder, None, settings)
        try:
            refused = _load_adapters(pipe, group)
            if not refused:
                names = [subject.name if subject.adapter else None for subject in group]
                yield Opened(pipe=pipe, subjects=tuple(zip(group, names, strict=True)))
        finally:
            pipe.close()
        # These first: an adapter that does not fit at all is told before anything was asked.
        for subject in refused:
            yield from _open_one(subject, settings, opener)
        if refused:
            yield from open_in_turn([each for each in group if each not in refused], settings, opener)


def _open_one(subject: Subject, settings: EvalSettings, opener: Opener) -> Generator[Opened, None, None]:
    """The pipeline of a model, or of one adapter, which is merged where it must be."""
    pipe = opener(subject.folder, subject.adapter, settings)
    try:
        yield Opened(pipe=pipe, subjects=((subject, None),))
    finally:
        pipe.close()


def _load_adapters(pipe: Answering, group: Sequence[Subject]) -> list[Subject]:
    """Those whose adapter cannot run beside the base: it has to be merged, or does not fit."""
    refused = []
    for subject in group:
        if subject.adapter is not None:
            try:
                pipe.load_adapter(subject.name, subject.adapter)
            except AdapterError:
                refused.append(subject)
    return refused


def _parse_adapter(text: str, bases: Sequence[Subject]) -> tuple[Subject, Subject]:
    """The base, and the adapter on it as a subject."""
    label, folder = _split(text)
    name, separator, owner = label.partition("@")
    names = {base.name: base for base in bases}
    path = Path(folder).expanduser()
    _check_adapter(path, folder)
    name = _fit(name or path.resolve().name)
    if separator and owner not in names:
        raise SettingsError(f"{text}: no model is named {owner!r:.90}; {nearest(owner, names)}")
    if not separator and len(bases) > 1:
        raise SettingsError(
            f"{text}: which model is the adapter for? Say {name}@{bases[0].name}={folder}; models: {', '.join(names)}"
        )
    base = names[owner] if separator else bases[0]
    return base, Subject(name=name, folder=base.folder, adapter=str(path))


def _check_adapter(path: Path, given: str) -> None:
    if (path / ADAPTER_FILES[0]).is_file():
        return
    inner = sorted(each.parent.name for each in path.glob(f"*/{ADAPTER_FILES[0]}")) if path.is_dir() else []
    advice = f"did you mean {given.rstrip('/')}/{inner[-1]}?" if inner else "give the folder that `ivl train` wrote"
    raise AdapterError(f"{given} is no adapter's folder: it has no {ADAPTER_FILES[0]}; {advice}")


def _split(text: str) -> tuple[str, str]:
    """The name before "=", empty where there is none, and the rest."""
    name, separator, rest = text.partition("=")
    if not separator or "/" in name or Path(text).exists():
        name, rest = "", text
    if not rest or (separator and rest != text and not name):
        raise SettingsError(f"{text!r:.90} is no model or adapter: write name=folder")
    return name, rest


def _name_of_id(model: str) -> str:
    """hf://org/name@revision -> name."""
    return model.partition("://")[2].rpartition("/")[2].partition("@")[0] or model.rpartition("/")[2].partition("@")[0]


def _fit(name: str) -> str:
    """A name for files: what may not stand in one becomes "-"."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:80]


def _check_unique(subjects: Sequence[Subject]) -> None:
    seen: set[str] = set()
    for subject in subjects:
        # Some file systems do not tell A from a.
        if subject.name.casefold() in seen:
            raise SettingsError(f"two subjects are named {subject.name!r}: name them, as in other={subject.folder}")
        seen.add(subject.name.casefold())
