"""A file of questions -> sets: multiple choice and open questions, in VLMEvalKit's layout or one like it.

In: a TSV or CSV whose columns are index, image (base64, or another row's index) or image_path, question, hint, A, B,
C, D ..., answer, category, l2-category, split; or JSON Lines or a JSON list with these keys, or with {id, image or
images, question, answer or answers, choices, metric, others, tags}. Out: an `EvalSet` for each metric that its rows are
scored by. Opens no picture.

A row's metric is the one asked for, else its own `metric`, else `choice` where it has choices, else `exact`. `others`
is read for `contains`: names of other things that hold an answer, as a list or with "|" between them.
Source of the prompts: VLMEvalKit, `vlmeval/dataset/image_mcq.py` and `image_vqa.py`; of `<image 1>` as the place of the
first picture: MMMU, as split there.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ivl.data.records import RecordFile
from ivl.errors import DataError, nearest, shown
from ivl.evals.choices import (
    IMAGE_MARK,
    LETTERS,
    parse_list,
    set_name,
    to_choices,
    to_letter,
    to_list,
    to_tags,
    to_text,
    unique_id,
)
from ivl.evals.item import Asked, EvalSet, Item, Metric
from ivl.evals.scoring import check_item
from ivl.evals.table_pictures import Pictures, RowPictures, index_of
from ivl.evals.table_rows import column_name, rows_of
from ivl.types import ImagePart, Message, Part, TextPart

SUFFIXES = (".tsv", ".csv", ".jsonl", ".json")
METRICS: tuple[Metric, ...] = get_args(Metric)
SHORT_EN = "\nAnswer the question using a single word or phrase."
SHORT_ZH = "\n请用一个词或短语回答问题。"

_SELECT = "Please select the correct answer from the options above. \n"
_SHORT: frozenset[Metric] = frozenset({"exact", "vqa", "anls", "relaxed", "contains"})
_TAGS = ("category", "l2-category", "split")
_NUMBERED = re.compile(r"<image (\d+)>")
_CHINESE = re.compile("[\u4e00-\u9fff]")

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What a file holds."""

    items: Mapping[Metric, tuple[Item, ...]]
    """Items by the metric that scores them; no metric without items."""
    hints: Mapping[str, str]
    """By item_id."""
    faults: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Wording:
    """Turns an item into messages."""

    metric: Metric
    hints: Mapping[str, str]
    is_bare: bool = False
    """The question as it is, without a request for a short answer."""

    def __call__(self, item: Item, prompt: int) -> Asked:
        text = self._text(item)
        images = list(item.images)
        places = [int(number) - 1 for number in _NUMBERED.findall(text)]
        if places and all(0 <= place < len(images) for place in places):
            text = _NUMBERED.sub(IMAGE_MARK, text)
            images = [images[place] for place in places]
        parts: tuple[Part, ...] = (*(ImagePart(source=image) for image in images), TextPart(text=text))
        return Asked(messages=(Message(role="user", parts=parts),), max_new_tokens=_answer_length(self.metric))

    def _text(self, item: Item) -> str:
        hint = self.hints.get(item.item_id)
        if self.metric == "choice":
            listed = "".join(f"{letter}. {text}\n" for letter, text in zip(item.letters, item.choices, strict=True))
            before = f"Hint: {hint}\n" if hint else ""
            return f"{before}Question: {item.question}\nOptions:\n{listed}{_SELECT}"
        text = f"{hint}\n{item.question}" if hint else item.question
        if self.is_bare or self.metric not in _SHORT:
            return text
        return text + (SHORT_ZH if _CHINESE.search(item.question) else SHORT_EN)


def open_table(path: Path, *, metric: str | None = None) -> tuple[EvalSet, ...]:
    """The file's questions: one set, or one for each metric, named after the file.

    metric: scores all rows. Raises DataError for a file that cannot be read, a metric that is not known, and a file
    of which no row can be asked; other rows' faults are in the first set's.
    """
    rows = read_rows(path, metric)
    if not rows.items:
        reason = f"; the first: {rows.faults[0]}" if rows.faults else ": it has no rows"
        raise DataError(f"no row of {path.name} can be asked{reason}")
    sets = []
    for number, (each, items) in enumerate(rows.items.items()):
        name = set_name(path.stem) + (f"-{each}" if len(rows.items) > 1 else "")
        sets.append(
            EvalSet(
                name=name,
                title=path.name + (f", {each}" if len(rows.items) > 1 else ""),
                items=items,
                metric=each,
                ask=Wording(metric=each, hints=rows.hints),
                faults=rows.faults if number == 0 else (),
            )
        )
    return tuple(sets)


def read_rows(path: Path, metric: str | None = None) -> Rows:
    """The rows of a file as items. Raises DataError for a file that cannot be read as a whole."""
    if metric is not None:
        _to_metric(metric)
    faults: list[str] = []
    records: list[tuple[str, Record]] = []
    reader = RowPictures(path.parent)
    for where, record in _records(path):
        try:
            if isinstance(record, DataError):
                raise record
            records.append((where, reader.decoded(record)))
        except DataError as error:
            faults.append(f"{where}: {error}")
    pictures = _read_pictures(reader, [record for _, record in records])
    items: dict[Metric, list[Item]] = {}
    hints: dict[str, str] = {}
    taken: set[str] = set()
    for number, (where, record) in enumerate(records):
        try:
            item_id = unique_id(index_of(record), number, taken)
            scored_by, item = _read_item(record, item_id, where, pictures[number], metric)
        except DataError as error:
            faults.append(f"{where}: {str(error).removeprefix(f'{where}: ')}")
            continue
        taken.add(item_id)
        items.setdefault(scored_by, []).append(item)
        if record.get("hint"):
            hints[item_id] = str(record["hint"])
    return Rows(items={key: tuple(value) for key, value in items.items()}, hints=hints, faults=tuple(faults))


def _records(path: Path) -> Iterator[tuple[str, Record | DataError]]:
    if path.suffix.lower() in (".tsv", ".csv"):
        yield from rows_of(path)
        return
    file = RecordFile(path)
    for number in range(len(file)):
        where = file.where(number)
        try:
            yield where, {column_name(key): value for key, value in file.read(number).items()}
        except DataError as error:
            yield where, DataError(str(error).removeprefix(f"{where}: "))


def _read_pictures(reader: RowPictures, records: list[Record]) -> list[Pictures | DataError]:
    """Each row's pictures, or what is wrong with them."""
    indices = frozenset(index_of(record) for record in records) - {""}
    found: list[Pictures | str | DataError] = []
    for record in records:
        try:
            found.append(reader.read(record, indices))
        except DataError as error:
            found.append(error)
    own = {index_of(record): value for record, value in zip(records, found, strict=True)}
    return [_follow(value, own) if isinstance(value, str) else value for value in found]


def _follow(index: str, own: Mapping[str, Pictures | str | DataError]) -> Pictures | DataError:
    there = own[index]
    if isinstance(there, tuple) and there:
        return there
    return DataError(f"image is {shown(index)}, the index of a row that holds no picture itself")


def _read_item(
    record: Record, item_id: str, where: str, pictures: Pictures | DataError, metric: str | None
) -> tuple[Metric, Item]:
    if isinstance(pictures, DataError):
        raise pictures
    question = to_text(record.get("question"), "question")
    marks = question.count(IMAGE_MARK)
    if marks not in (0, len(pictures)):
        raise DataError(f"question has {marks} {IMAGE_MARK} for {len(pictures)} pictures: one for each, or none")
    choices = _choices(record)
    given = metric or record.get("metric")
    scored_by: Metric = _to_metric(given) if given is not None else ("choice" if choices else "exact")
    if scored_by == "choice":
        if not choices:
            raise DataError("the row has no choices: A, B ... or a list of choices is needed")
        answers: tuple[str, ...] = (
            to_letter(record.get("answer"), choices, first="letter" if "A" in record else None),
        )
    else:
        answers, choices = _answers(record, scored_by), ()
    tags = {name: str(record[name]) for name in _TAGS if record.get(name) not in (None, "")}
    item = Item(
        item_id=item_id,
        where=where,
        question=question,
        answers=answers,
        images=pictures,
        choices=choices,
        others=_others(record) if scored_by == "contains" else (),
        tags=tuple({**tags, **dict(to_tags(record))}.items()),
    )
    check_item(scored_by, item)
    return scored_by, item


def _choices(record: Record) -> tuple[str, ...]:
    """The cells A, B, C ... up to the last that is filled, or the list `choices`."""
    if record.get("choices") not in (None, "", []):
        return to_choices(record["choices"], "choices")
    cells = {letter: record[letter] for letter in LETTERS if record.get(letter) not in (None, "")}
    for letter, wanted in zip(cells, LETTERS, strict=False):
        if letter != wanted:
            raise DataError(f"{wanted} is missing, and {letter} is there: choices have no gaps")
    return to_choices(list(cells.values()), "the row's choices") if cells else ()


def _answers(record: Record, metric: Metric) -> tuple[str, ...]:
    """All right answers of an open question; `iou`: boxes that belong together are one."""
    field = "answers" if record.get("answers") not in (None, "", []) else "answer"
    value = record.get(field)
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = parse_list(value.strip()) or value
    if metric == "iou":
        return _boxes(value)
    return _texts(value if isinstance(value, list) else [value], field)


def _others(record: Record) -> tuple[str, ...]:
    """Names of other things that hold one of the answers."""
    value = record.get("others")
    if value is None:
        return ()
    if isinstance(value, str) and value.lstrip()[:1] != "[":
        value = value.split("|")
    return tuple(name for name in _texts(to_list(value, "others"), "others") if name)


def _texts(values: list[Any], field: str) -> tuple[str, ...]:
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise DataError(f"{field} is {'missing' if each is None else shown(each)}: a text is needed")
    return tuple(str(each).strip() for each in values)


def _boxes(value: object) -> tuple[str, ...]:
    """Boxes as scoring reads them: one box, a list of them, or texts that hold them."""
    if not isinstance(value, list):
        return (str(value),)
    if value and all(isinstance(each, str) for each in value):
        return tuple(value)
    return (json.dumps(value if value and isinstance(value[0], list) else [value]),)


def _to_metric(value: object) -> Metric:
    found = next((each for each in METRICS if each == value), None)
    if found is None:
        raise DataError(f"there is no metric {shown(value)}: {nearest(str(value), METRICS)}")
    return found


def _answer_length(metric: Metric) -> int:
    """Tokens that an answer may take: a caption is longer than a word."""
    return 128 if metric == "cider" else 64
