"""An evaluation: subjects and sets -> what each subject said, what it was worth, and how sure that is.

In: subjects, sets, settings, a folder. Out: `EvalResults`, and in the folder every answer as it came (`predictions/`),
so that a run that was stopped, by Ctrl-C, a failure or a kill, goes on where it was. Knows no metric's arithmetic, no
report, no command line.

All sets of all subjects on one base model are one queue: the engine's batch runs empty only at its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ivl.errors import EngineError, InputError
from ivl.evals.asking import Job, Said, ask_all
from ivl.evals.circumstances import circumstances, placed
from ivl.evals.fingerprint import subject_fingerprint
from ivl.evals.item import Asked, EvalResults, EvalSet, Item, SetResult, Subject
from ivl.evals.likelihood import letter_config
from ivl.evals.predictions import Answer, AnswerFile, Key, sole_use
from ivl.evals.questions import Plan, check_sets, make_plan
from ivl.evals.results import set_result
from ivl.evals.settings import EvalSettings
from ivl.evals.subjects import Answering, Opened, Opener, batch_size, check_names, open_in_turn, open_pipeline
from ivl.types import GenerationConfig

PREDICTIONS = "predictions"
"""The folder of all answers, in the folder of a run: `predictions/SUBJECT/SET.jsonl`."""
MOST_IN_VAIN = 20
"""Items of a subject, the first ones, that may all fail before the run stops: then the fault is not theirs."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands: told for each table at the beginning, when a model is opened, and after each answer."""

    stage: Literal["opening", "asking", "notice"]
    subject: str
    set_name: str = ""
    """Empty while a model is opened."""
    done: int = 0
    """Answers of this subject to this set, those of an earlier run included; an item counts once for each prompt."""
    total: int = 0
    num_failed: int = 0
    """Of those done, how many could not be answered."""
    all_done: int = 0
    """Answers of the whole run."""
    all_total: int = 0
    all_reused: int = 0
    """Of `all_done`, how many an earlier run left."""
    notice: str = ""
    """One line that the user must be told, where the stage is "notice"."""


Told = Callable[[Progress], None]


class _Table:
    """One subject on one set: what there is to ask, and what has been said."""

    def __init__(self, subject: Subject, plan: Plan, file: AnswerFile) -> None:
        self.subject, self.plan, self.file = subject, plan, file
        self.began = self.ended = 0.0
        self.num_failed = 0
        # A picture that could not be read may have come back: what failed is asked again.
        self.left = {key for _, key in plan.questions() if key not in file.answers or file.answers[key].is_failed}
        self.num_reused = plan.num_questions - len(self.left)

    @property
    def num_done(self) -> int:
        return self.plan.num_questions - len(self.left)

    def keep(self, answer: Answer) -> None:
        """In the file first: what is counted is safe."""
        self.file.append(answer)
        self.left.discard(answer.key)
        self.num_failed += answer.is_failed
        self.ended = time.perf_counter()
        if not self.left:
            self.file.close()

    def answers(self) -> list[list[Answer]]:
        """[prompt][item]."""
        rows = [[self.file.answers[key] for key in row] for row in self.plan.keys]
        return [list(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Question:
    """What a job is about."""

    table: _Table
    item: Item
    key: Key

    def answer(self, text: str, num_tokens: int = 0, finish_reason: str = "") -> Answer:
        item_id, prompt, digest = self.key
        return Answer(
            item_id=item_id,
            prompt=prompt,
            asked=digest,
            text=text,
            num_tokens=num_tokens,
            finish_reason=finish_reason,
        )


class _Run:
    """The tables of a run, and who is told about them."""

    def __init__(self, tables: Sequence[_Table], told: Told) -> None:
        self.tables, self._told = tables, told
        self._total = sum(table.plan.num_questions for table in tables)
        self._done = self._reused = sum(table.num_reused for table in tables)

    def keep(self, question: _Question, answer: Answer) -> None:
        """Raises EngineError where all that a subject was asked so far failed."""
        table = question.table
        table.keep(answer)
        self._done += 1
        self.tell(table)
        if answer.is_failed and self._is_in_vain(table.subject):
            raise EngineError(
                f"{table.subject.name} could answer none of its first {MOST_IN_VAIN} items; the last, "
                f"{question.item.where}: {answer.text}"
            )

    def _is_in_vain(self, subject: Subject) -> bool:
        own = [table for table in self.tables if table.subject == subject]
        num_items = sum(table.num_failed / table.plan.eval_set.num_prompts for table in own)
        return num_items >= MOST_IN_VAIN and all(table.num_failed == table.num_done for table in own)

    def tell(self, table: _Table) -> None:
        self._told(
            Progress(
                stage="asking",
                subject=table.subject.name,
                set_name=table.plan.eval_set.name,
                done=table.num_done,
                total=table.plan.num_questions,
                num_failed=table.num_failed,
                all_done=self._done,
                all_total=self._total,
                all_reused=self._reused,
            )
        )

    def tell_opening(self, subject: str) -> None:
        self._told(
            Progress(
                stage="opening",
                subject=subject,
                all_done=self._done,
                all_total=self._total,
                all_reused=self._reused,
            )
        )


def evaluate(
    subjects: Sequence[Subject],
    sets: Sequence[EvalSet],
    settings: EvalSettings,
    out: Path,
    on_progress: Told | None = None,
    *,
    opener: Opener = open_pipeline,
) -> EvalResults:
    """Ask every item of every set of every subject, greedily, and score the answers.

    What `out` holds of an earlier run is not asked again, as far as subject, settings and question are the same. An
    item that cannot be answered, by its own fault or because the engine fails on it, counts as wrong, disturbs no
    other, and is asked again next time. Raises SettingsError for subjects, sets or a folder that do not go, EngineError
    when an engine fails as a whole, or a subject can answer none of its first items (MOST_IN_VAIN); what was answered
    until then, or until Ctrl-C, is kept in `out`.
    """
    told = on_progress or _tell_nobody
    check_names(subjects)
    check_sets(tuple(sets))
    plans = [make_plan(eval_set, settings) for eval_set in sets]
    with sole_use(out / PREDICTIONS):
        tables = [table for subject in subjects for table in _open_tables(subject, plans, settings, out, told)]
        run = _Run(tables, told)
        for table in tables:
            run.tell(table)
        try:
            places = _ask_all(run, settings, out, opener)
        finally:
            for table in tables:
                table.file.close()
    results = [_result(table) for plan in plans for table in tables if table.plan is plan]
    return EvalResults(
        subjects=tuple(subjects),
        sets=tuple(plan.eval_set for plan in plans),
        results=tuple(results),
        scoring=settings.scoring,
        circumstances=circumstances(settings, places),
    )


def _open_tables(
    subject: Subject, plans: Sequence[Plan], settings: EvalSettings, out: Path, told: Told
) -> Iterator[_Table]:
    made_by = subject_fingerprint(subject, settings)
    for plan in plans:
        name = plan.eval_set.name

        def notice(line: str, set_name: str = name) -> None:
            told(Progress(stage="notice", subject=subject.name, set_name=set_name, notice=line))

        yield _Table(subject, plan, AnswerFile(out / PREDICTIONS / subject.name / f"{name}.jsonl", made_by, notice))


def _ask_all(run: _Run, settings: EvalSettings, out: Path, opener: Opener) -> dict[str, str]:
    """Ask what is left; where and in what type each subject's model ran, by the subject's name."""
    waiting = list(dict.fromkeys(table.subject for table in run.tables if table.left))
    places: dict[str, str] = {}

    def open_told(folder: str, adapter: str | None, settings: EvalSettings) -> Answering:
        names = [each.name for each in waiting if each.folder == folder and adapter in (None, each.adapter)]
        run.tell_opening(", ".join(names))
        return opener(folder, adapter, settings)

    with closing(open_in_turn(waiting, settings, open_told)) as all_opened:
        for opened in all_opened:
            places |= dict.fromkeys((subject.name for subject, _ in opened.subjects), placed(opened.pipe))
            with closing(ask_all(opened.pipe, _jobs(run, opened), batch_size(settings))) as all_said:
                for said in all_said:
                    _keep(run, said, opened.pipe, out)
    return places


def _jobs(run: _Run, opened: Opened) -> Iterator[Job[_Question]]:
    """What is left to ask of the subjects of a pipeline, made when it is its turn: questions may hold pictures."""
    for subject, adapter in opened.subjects:
        for table in run.tables:
            if table.subject != subject:
                continue
            table.began = table.ended = time.perf_counter()
            for item, key in table.plan.questions():
                if key not in table.left:
                    continue
                question = _Question(table=table, item=item, key=key)
                try:
                    asked = table.plan.eval_set.ask(item, key[1])
                except InputError as error:
                    run.keep(question, question.answer(str(error)))
                    continue
                config = _config(table.plan, item, asked, opened.pipe)
                yield Job(label=question, messages=asked.messages, gen_config=config, adapter=adapter)


def _config(plan: Plan, item: Item, asked: Asked, pipe: Answering) -> GenerationConfig:
    if plan.is_likelihood:
        return letter_config(pipe.processor.tokenizer, asked, item.letters)
    return GenerationConfig(max_new_tokens=asked.max_new_tokens, do_sample=False)


def _keep(run: _Run, said: Said[_Question], pipe: Answering, out: Path) -> None:
    question, response = said.label, said.response
    if response is not None:
        answer = question.answer(response.text, response.generate_token_len, response.finish_reason or "abort")
        run.keep(question, answer)
    elif (failure := pipe.engine.failure) is not None:  # then it failed on no question, and will on all that are left
        raise EngineError(
            f"{question.item.where}: {failure}; what was answered is kept in {out}: run the same again to go on"
        ) from failure
    else:
        run.keep(question, question.answer(said.reason))


def _result(table: _Table) -> SetResult:
    return set_result(
        table.subject.name, table.plan.eval_set, table.plan.whole_set, table.answers(), table.ended - table.began
    )


def _tell_nobody(progress: Progress) -> None:
    """For callers that do not ask."""
