"""Results of an evaluation that never ran: sets of drawn pictures, subjects that err where it suits a test."""

from pathlib import Path

from PIL import Image, ImageDraw

from ivl.evals.item import Asked, EvalResults, EvalSet, Item, Prediction, Score, SetResult, Subject
from ivl.types import Message, TextPart

COLOURS = ("red", "green", "blue", "orange", "purple", "teal")


def picture(number: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A disc in the middle."""
    image = Image.new("RGB", size, "white")
    left, top = size[0] // 4, size[1] // 4
    ImageDraw.Draw(image).ellipse((left, top, 3 * left, 3 * top), fill=COLOURS[number % len(COLOURS)])
    return image


def ask(item: Item, prompt: int) -> Asked:
    return Asked(messages=(Message(role="user", parts=(TextPart(text=f"{prompt}: {item.question}"),)),))


def choice_item(number: int, **changes: object) -> Item:
    values: dict[str, object] = {
        "item_id": f"q{number}",
        "where": f"sivqa_tidy.json, entry {number}",
        "question": f"这道菜属于哪个菜系？ ({number})",
        "answers": ("ABCD"[number % 4],),
        "choices": ("川菜", "粤菜", "鲁菜", "苏菜"),
        "images": (picture(number),),
        "tags": (("style", "openmoji" if number % 2 else "fxemoji"),),
    }
    return Item(**{**values, **changes})  # type: ignore[arg-type]


def box_item(number: int, **changes: object) -> Item:
    values: dict[str, object] = {
        "item_id": f"box{number}",
        "where": f"boxes.tsv:{number + 2}",
        "question": "Where is the disc?",
        "answers": ("[[250, 250, 750, 750]]",),
        "images": (picture(number),),
    }
    return Item(**{**values, **changes})  # type: ignore[arg-type]


def make_set(name: str, items: tuple[Item, ...], metric: str = "choice", **changes: object) -> EvalSet:
    values: dict[str, object] = {"name": name, "title": f"The set {name}", "items": items, "metric": metric, "ask": ask}
    return EvalSet(**{**values, **changes})  # type: ignore[arg-type]


def said(item: Item, text: str, score: float, prompt: int = 0, **changes: object) -> Prediction:
    values: dict[str, object] = {
        "item_id": item.item_id, "prompt": prompt, "text": text, "parsed": text[:1] or None, "score": score,
        "num_tokens": len(text), "finish_reason": "stop",
    }  # fmt: skip
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


def mean_score(scores: list[float]) -> Score:
    mean = sum(scores) / len(scores)
    margin = 0.98 / len(scores) ** 0.5
    return Score(mean=mean, low=max(0, mean - margin), high=min(1, mean + margin), n=len(scores))


def result(subject: str, eval_set: EvalSet, *columns: tuple[Prediction, ...], **changes: object) -> SetResult:
    """columns: the predictions of each prompt."""
    scores = tuple(mean_score([each.score for each in column]) for column in columns)
    best = max(range(len(scores)), key=lambda prompt: scores[prompt].mean)
    values: dict[str, object] = {
        "subject": subject, "set_name": eval_set.name, "predictions": columns, "scores": scores, "best_prompt": best,
        "num_unparsed": sum(each.parsed is None and each.finish_reason != "" for each in columns[best]),
        "num_failed": sum(not each.finish_reason for each in columns[best]),
        "mean_tokens": sum(each.num_tokens for each in columns[best]) / len(columns[best]), "seconds": 61.4,
    }  # fmt: skip
    return SetResult(**{**values, **changes})  # type: ignore[arg-type]


def made_up(num_items: int = 24) -> EvalResults:
    """Two subjects on two sets: one with choices and two prompts, one with boxes."""
    choices = make_set(
        "foodieqa-sivqa-zh",
        tuple(choice_item(number) for number in range(num_items)),
        num_prompts=2,
        language="zh",
        licence="FoodieQA: for evaluation only, CC BY-NC-ND 4.0",
        faults=("sivqa_tidy.json, entry 77: picture 'x.jpg' does not exist", "sivqa_tidy.json, entry 78: no choices"),
    )
    boxes = make_set("boxes", tuple(box_item(number) for number in range(num_items)), "iou")
    subjects = (
        Subject(name="nano", folder="models/nano"),
        Subject(name="nano+food", folder="models/nano", adapter="runs/food/adapter"),
    )
    results = []
    for number, eval_set in enumerate((choices, boxes)):
        for shift, subject in enumerate(subjects):
            columns = [
                tuple(_answer(item, place, shift, prompt, number) for place, item in enumerate(eval_set.items))
                for prompt in range(eval_set.num_prompts)
            ]
            slices = (("style", "fxemoji", mean_score([1.0, 0.0])), ("style", "openmoji", mean_score([1.0, 1.0])))
            results.append(result(subject.name, eval_set, *columns, slices=() if number else slices))
    circumstances = {"device": "CPU", "dtype": "float32", "command": "ivl eval foodieqa FOLDER", "date": "2026-11-22"}
    return EvalResults(
        subjects=subjects,
        sets=(choices, boxes),
        results=tuple(results),
        scoring="generate",
        circumstances=circumstances,
    )


def _answer(item: Item, place: int, shift: int, prompt: int, number: int) -> Prediction:
    """The second subject is right more often; some answers cannot be read, one item is not answered."""
    right = (place + prompt) % 5 > 2 - 2 * shift or place % 7 == 3
    right = right and not (shift and place % 11 == 4)
    if number:
        box = "[[250, 250, 750, 750]]" if right else "[[100, 300, 500, 800]]"
        return said(item, f"<ref>disc</ref><box>{box}</box>", float(right), prompt, parsed=box)
    if place == 11:  # could not be answered, whoever is asked
        text = "the prompt has 9,000 tokens: more than session_len 8,192"
        return said(item, text, 0.0, prompt, parsed=None, finish_reason="")
    if place % 6 == 5 and not right:
        return said(item, "我不知道。这张图片里有一个圆。", 0.0, prompt, parsed=None)
    letter = item.answers[0] if right else "ABCD"[(place + 1 + shift) % 4]
    return said(item, f"{letter}) 川菜" if shift else letter, float(letter == item.answers[0]), prompt)


def write_picture(path: Path, number: int = 0) -> Path:
    picture(number).save(path)
    return path
