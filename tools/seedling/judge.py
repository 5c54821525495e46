"""Judges a model on new scenes: naming a food, yes or no, counting one kind; in both languages, style by style.

In: model, tokenizer, painter, catalogue. Out: `Result`s with 95% intervals by bootstrap over foods. Scenes are painted
as drawn (no changed looks), turned by at most 10 degrees, each in one style.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from tools.seedling.layout import MAX_ITEMS, Catalogue, Mix, Plan, Planner
from tools.seedling.questions import Asker, Exchange
from tools.seedling.scenes import Painter, batch_plans, cut_tiles
from tools.seedling.templates import TEMPLATES
from tools.seedling.text import Speaker
from torch import Tensor

KINDS = ("food", "name", "exists", "count", "where", "background", "total")
SHAPES: dict[str, tuple[float, float, float]] = {
    "food": (1, 0, 0), "name": (1, 0, 0), "exists": (0.3, 0.4, 0.3), "count": (0, 0, 1), "where": (0.4, 0.6, 0),
    "background": (0.5, 0.5, 0), "total": (0.2, 0.8, 0),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question about one scene."""

    plan: Plan
    exchange: Exchange
    thing: int
    """The food that it is about: the unit of the bootstrap."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Share of right answers of one kind, language and style."""

    kind: str
    language: str
    style: str
    num_cases: int
    num_things: int
    share: float
    low: float
    high: float

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def make_cases(
    catalogue: Catalogue, style: int, kind: str, language: str, number: int, seed: int, size: tuple[int, int]
) -> list[Case]:
    """New cases about foods of one style; the foods in turn, so that each comes equally often."""
    rng = random.Random(f"{seed}/{style}/{kind}/{language}")
    mix = Mix(
        styles=(style,),
        style_weights=(1.0,),
        food_share=1.0,
        symbol_share=0.0,
        mixed_styles=0.0,
        kinds=SHAPES[kind],
        turned=0.0,
        flips=False,
    )
    planner, asker = Planner(catalogue, mix), Asker(catalogue.things)
    foods = [thing for thing in catalogue.by_style[style] if catalogue.things[thing].is_food]
    cases: list[Case] = []
    while len(cases) < number:
        plan = planner.plan(size, rng)
        plan.angles = [rng.uniform(-0.17, 0.17) for _ in plan.angles]
        if kind in ("food", "name"):
            _show(plan, foods[len(cases) % len(foods)], catalogue, style, rng)
        exchange = _ask(kind, asker, plan, rng, language)
        if exchange is not None:
            cases.append(Case(plan=plan, exchange=exchange, thing=plan.scene.items[0].thing))
    return cases


def _show(plan: Plan, thing: int, catalogue: Catalogue, style: int, rng: random.Random) -> None:
    item = plan.scene.items[0]
    plan.scene = type(plan.scene)(
        items=(type(item)(thing=thing, x=item.x, y=item.y),), background=plan.scene.background
    )
    plan.sprites = [rng.choice(catalogue.by_style[style][thing])]


def _ask(kind: str, asker: Asker, plan: Plan, rng: random.Random, language: str) -> Exchange | None:
    if kind == "food":
        answer = asker.things[plan.scene.items[0].thing].name(language)
        return Exchange(question=rng.choice(TEMPLATES["food"][language]), answer=answer)
    if kind == "name":
        answer = asker.things[plan.scene.items[0].thing].name(language)
        return Exchange(question=rng.choice(TEMPLATES["name"][language]), answer=answer)
    if kind == "count" and len(plan.scene.counts()) == MAX_ITEMS:
        return None
    exchange = asker.ask(kind, plan.scene, rng, language)
    return None if exchange is None or (kind == "count" and exchange.answer == "0") else exchange


def bootstrap(right: list[bool], things: list[int], rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95% interval of the share of right answers, foods drawn with replacement."""
    rng = np.random.default_rng(seed)
    groups = [np.array([r for r, t in zip(right, things, strict=True) if t == thing]) for thing in sorted(set(things))]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = rng.integers(0, len(groups), (rounds, len(groups)))
    shares = sums[drawn].sum(1) / counts[drawn].sum(1)
    return float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975))


def score(cases: list[Case], answers: list[str], kind: str, language: str, style: str) -> Result:
    right = [answer.strip() == case.exchange.answer for case, answer in zip(cases, answers, strict=True)]
    things = [case.thing for case in cases]
    low, high = bootstrap(right, things)
    return Result(
        kind=kind, language=language, style=style, num_cases=len(cases), num_things=len(set(things)),
        share=sum(right) / len(right), low=low, high=high,
    )  # fmt: skip


Answer = Callable[[Tensor, list[str]], list[str]]
"""Tiles (B, N, 3, 448, 448) uint8 and one question each -> answers."""


def judge(
    answer: Answer,
    painter: Painter,
    catalogue: Catalogue,
    styles: dict[str, int],
    number: int,
    seed: int,
    kinds: tuple[str, ...] = KINDS,
) -> list[Result]:
    """`number` cases for each kind and style, half in each language, on canvases of one tile."""
    results = []
    for name, style in styles.items():
        for kind in kinds:
            for language in ("en", "zh"):
                cases = make_cases(catalogue, style, kind, language, number // 2, seed, (448, 448))
                answers: list[str] = []
                for start in range(0, len(cases), 256):
                    part = cases[start : start + 256]
                    plans = batch_plans([case.plan for case in part], (448, 448), (1, 1)).to(painter.sprites.device)
                    canvas, _ = painter.paint(plans, strong=False)
                    answers += answer(cut_tiles(canvas, (1, 1)), [case.exchange.question for case in part])
                results.append(score(cases, answers, kind, language, name))
    return results


def summarise(results: list[Result], held_out: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Mean share by kind, over trained and over held-out styles (each style and language counts the same)."""
    table: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(result.kind for result in results):
        for label, chosen in (("trained", False), ("held_out", True)):
            shares = [r.share for r in results if r.kind == kind and (r.style in held_out) == chosen]
            if shares:
                table.setdefault(kind, {})[label] = sum(shares) / len(shares)
    return table


class Greedy:
    """Answers batches of questions about single-tile pictures with the model in memory, without a cache."""

    def __init__(self, model: torch.nn.Module, speaker: Speaker, room: int = 56) -> None:
        self.model, self.speaker, self.room = model, speaker, room

    @torch.inference_mode()
    def __call__(self, tiles: Tensor, questions: list[str]) -> list[str]:
        from tools.seedling.network import BranchAttention, branch_bias
        from tools.seedling.scenes import normalise

        model, device = self.model, tiles.device
        batch, num_tiles = tiles.shape[:2]
        prefix = self.speaker.prefix(num_tiles * model.config.tokens_per_tile)
        length = len(prefix) + self.room
        ids = torch.full((batch, length), 2, device=device)
        ids[:, : len(prefix)] = torch.tensor(prefix, device=device)
        cursor = torch.zeros(batch, dtype=torch.long, device=device)
        for row, question in enumerate(questions):
            asked = self.speaker.slot([Exchange(question=question, answer="")]).ids[:-1]
            ids[row, len(prefix) : len(prefix) + len(asked)] = torch.tensor(asked, device=device)
            cursor[row] = len(prefix) + len(asked)
        features = model.encode_tiles(normalise(tiles.flatten(0, 1)))
        bias = branch_bias(length, ()).to(device=device, dtype=features.dtype)
        done = torch.zeros(batch, dtype=torch.bool, device=device)
        rows = torch.arange(batch, device=device)
        answers: list[list[int]] = [[] for _ in questions]
        for _ in range(24):
            hidden = forward_rows(model, ids, features, bias, BranchAttention)
            token = model.language_model.logits(hidden[rows, cursor - 1]).argmax(-1)
            done |= (token == self.speaker.im_end) | (cursor >= length - 1)
            if bool(done.all()):
                break
            for row, (value, stop) in enumerate(zip(token.tolist(), done.tolist(), strict=True)):
                if not stop:
                    answers[row].append(value)
            ids[rows, cursor] = torch.where(done, ids[rows, cursor], token)
            cursor = (cursor + (~done)).clamp(max=length - 1)
        return [self.speaker.tokenizer.decode(answer) for answer in answers]


def forward_rows(model: torch.nn.Module, ids: Tensor, features: Tensor, bias: Tensor, attention: type) -> Tensor:
    """Hidden states (B, T, D) of rows of one length."""
    batch, length = ids.shape
    positions = torch.arange(length, device=ids.device).repeat(batch)
    cos, sin = model.language_model.rope.cos_sin(positions, [length] * 1, [len(positions)])
    embeds = model.embed(ids.flatten(), features)
    return model.language_model(embeds, cos, sin, attention(batch, bias)).unflatten(0, (batch, length))
