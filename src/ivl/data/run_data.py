"""Everything a run reads, in one hand: processor, training samples, validation samples and questions.

In: a model folder and the data settings of a recipe. Out: `RunData`. The trainer meets data only through it.
"""

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ivl.data.corpus import Corpus, Progress, load_corpus
from ivl.data.example import PackedBatch
from ivl.data.loader import batches
from ivl.data.planner import Planner
from ivl.data.questions import Question, make_question
from ivl.data.seen_tiles import TileStore
from ivl.data.settings import DataSettings
from ivl.data.sources import FileSource
from ivl.errors import DataError, InputError, SettingsError
from ivl.processing.processor import Processor, load_processor

_FEW = 64
"""Validation samples that are read in this process: starting workers would take longer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunData:
    """The data of one rank."""

    settings: DataSettings
    processor: Processor
    train: Corpus
    validation: Corpus | None
    planner: Planner
    val_planner: Planner | None
    rank: int

    def steps(
        self, first_step: int, pin_memory: bool, store: TileStore | None = None
    ) -> Generator[tuple[float, list[PackedBatch]]]:
        """Epochs seen after each step, and this rank's micro batches of it, from `first_step` (from 0) on, for ever."""
        planner = self.planner
        epoch, step = planner.locate(first_step)
        stream = batches(
            self.train, self.processor, self.settings, planner,
            rank=self.rank, epoch=epoch, step=step, pin_memory=pin_memory, store=store,
        )  # fmt: skip
        try:
            while True:
                micros = [next(stream) for _ in range(planner.num_micros)]
                step += 1
                if step > planner.num_steps(epoch):
                    epoch, step = epoch + 1, 1
                yield epoch + step / planner.num_steps(epoch), micros
        finally:
            stream.close()  # type: ignore[attr-defined]

    def validation_batches(self) -> Iterator[PackedBatch]:
        """This rank's share of the validation data, as many batches as every other rank has."""
        assert self.validation is not None, "there is no validation data"
        assert self.val_planner is not None, "there is no validation data"
        workers = 0 if len(self.validation) <= _FEW else None
        return batches(
            self.validation, self.processor, self.val_planner.settings, self.val_planner,
            rank=self.rank, num_epochs=1, num_workers=workers,
        )  # fmt: skip

    def fingerprint(self) -> str:
        """Equal for runs whose steps see the same samples: the planner's own, and what is in the training files."""
        digest = hashlib.sha256(self.planner.fingerprint().encode())
        for portion in self.train.portions:
            if isinstance(portion.source, FileSource):
                digest.update(portion.source.digest().encode())
        return digest.hexdigest()

    def questions(self, count: int) -> tuple[Question, ...]:
        """`count` validation questions, evenly spread; fewer where pictures cannot be read."""
        if self.validation is None or not count:
            return ()
        total = len(self.validation)
        chosen = np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
        found = []
        for index in chosen:
            try:
                found.append(make_question(self.validation[index], self.processor, self.settings.max_length))
            except InputError:
                continue  # the validation loss has counted and told it
        return tuple(found)


def load_run_data(
    path: str,
    settings: DataSettings,
    *,
    rank: int = 0,
    world_size: int = 1,
    on_progress: Progress | None = None,
    workers: int | None = None,
) -> RunData:
    """Open and measure the data of a recipe for the model in the folder `path`.

    Raises DataError, ConfigError, TokenizerError, and SettingsError where prompt_template is not the model's.
    """
    if not settings.data_path:
        raise DataError("data_path is not given: name the training data in the recipe, or with --set data_path=FILE")
    processor = load_processor(path, as_viewed=settings.as_viewed)
    template = processor.config.template
    if settings.prompt_template not in (None, template):
        raise SettingsError(
            f"prompt_template={settings.prompt_template} is not the model's: {path} was trained with {template}; "
            "leave prompt_template out"
        )
    load = partial(load_corpus, settings=settings, processor=processor, on_progress=on_progress, workers=workers)
    train = load(settings.data_path, replay=settings.replay_path)
    validation = load(settings.val_data_path) if settings.val_data_path else None
    planner = Planner(train.num_tokens, train.num_tiles, settings, world_size, members=train.members)
    val_planner = None
    if validation is not None:
        one = replace(settings, accumulative_counts=1)
        val_planner = Planner(
            validation.num_tokens, validation.num_tiles, one, world_size, shuffle=False, members=validation.members
        )
    return RunData(
        settings=settings,
        processor=processor,
        train=train,
        validation=validation,
        planner=planner,
        val_planner=val_planner,
        rank=rank,
    )
