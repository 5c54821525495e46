"""Trains the seedling from nothing on one GPU within a budget of minutes, judges it and writes its folder.

    PYTHONPATH=src:. python3 -m tools.seedling.train --pack out/seedling/pack.npz --out OUT --minutes 20

In: the pack. Out: OUT/seedling (official layout, bfloat16 shards), OUT/metrics.json, OUT/train.log, OUT/checkpoint.pt.
Two phases share the budget: the tower learns to see (which thing is on which patch), then the whole model learns to
answer. Both learning rates follow the clock, so the run ends on time on any machine.
"""

import os
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from tools.seedling.folder import write_folder
from tools.seedling.judge import Greedy, judge, summarise
from tools.seedling.layout import Planner
from tools.seedling.mixture import catalogue_of, training_mix
from tools.seedling.network import (
    BranchAttention,
    Heads,
    branch_bias,
    branch_positions,
    centres_in_tiles,
    initialise,
    seedling_config,
    vision_loss,
)  # fmt: skip
from tools.seedling.optim import Average, Optimiser
from tools.seedling.pack import read_pack
from tools.seedling.report import Clock, Report
from tools.seedling.scenes import Painter, cover_maps, cut_tiles, normalise
from tools.seedling.settings import Settings, read_settings
from tools.seedling.stream import Batch, Sizes, Stream
from tools.seedling.text import Speaker, train_tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ivl.model.connector import pixel_shuffle
from ivl.model.internvl import InternVL


def main() -> None:
    settings = read_settings(__doc__)
    torch.manual_seed(settings.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    Trainer(settings).run()


class Trainer:
    """The run, top to bottom."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.report = Report(settings.out, settings.minutes)
        self.device = torch.device(settings.device)
        self.clock = Clock(settings.profile)
        self.pack = read_pack(settings.pack)
        self.catalogue = catalogue_of(self.pack)
        tokenizer = train_tokenizer(list(self.pack.things))
        self.speaker = Speaker(tokenizer)
        self.config = seedling_config(tokenizer.get_vocab_size(), self.speaker.image[1], settings.tiny)
        self.model = InternVL(self.config)
        initialise(self.model)
        self.model.to(self.device)
        self.heads = Heads(self.config.vision.hidden_size, len(self.pack.things)).to(self.device)
        self.report.say(f"{len(self.pack.sprites)} sprites, vocabulary {tokenizer.get_vocab_size()}")
        self.report.say(f"{sum(p.numel() for p in self.model.parameters()) / 1e6:.2f}M parameters")
        self.see = (
            torch.compile(self.model.vision_model, dynamic=False) if settings.compile else self.model.vision_model
        )
        self.read = (
            torch.compile(self.model.language_model, dynamic=False) if settings.compile else self.model.language_model
        )
        self.layouts: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def run(self) -> None:
        settings = self.settings
        reserve = min(100.0, 0.15 * 60 * settings.minutes)  # seconds for the evaluation and writing
        seconds = 60 * settings.minutes - reserve - self.report.elapsed()
        # Resizing on the GPU costs more than painting: the first phase, which needs few sizes, mostly does without.
        talking_sizes = Sizes(tiles_per_batch=settings.tiles // 2, square=0.62, several=0.18)
        seeing_sizes = Sizes(tiles_per_batch=settings.tiles, square=0.82, several=0.08)
        talking = self._loader(self.speaker, 0.55, 0.05, talking_sizes, settings.seed + 1)
        seeing = self._loader(None, 0.3, 0.2, seeing_sizes, settings.seed)
        self.painter = Painter(torch.from_numpy(self.pack.sprites).to(self.device))
        self.report.say("phase 1: seeing")
        self._see(seeing, seconds * settings.seeing)
        self.report.say(f"phase 2: talking {self.clock.text()}")
        average = self._talk(talking, 60 * settings.minutes - reserve - self.report.elapsed())
        average.swap()
        self.report.say(f"writing and judging {self.clock.text()}")
        torch.save(
            {name: value.to(torch.bfloat16).cpu() for name, value in self.model.state_dict().items()},
            settings.out / "final.pt",
        )
        self._judge(settings.cases, quick=False)
        write_folder(self.model, self.speaker.tokenizer, self.settings.out / "seedling")

    def _loader(
        self, speaker: Speaker | None, food_share: float, symbol_share: float, sizes: Sizes, seed: int
    ) -> Iterator[Batch]:
        planner = Planner(self.catalogue, training_mix(self.pack, food_share, symbol_share))
        stream = Stream(planner, speaker, sizes, seed)
        workers = self.settings.workers
        return iter(DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=3 if workers else None))

    def _see(self, batches: Iterator[Batch], seconds: float) -> None:
        optimiser = Optimiser([(self.model.vision_model, 1.0), (self.heads, 1.0)], self.settings.lr)
        end = self.report.elapsed() + seconds
        start = self.report.elapsed()
        while (now := self.report.elapsed()) < end:
            part = (now - start) / seconds
            scale = min(1.0, 0.02 + part / 0.04) * (1.0 if part < 0.6 else 1 - 0.7 * (part - 0.6) / 0.4)
            batch = next(batches)
            self.clock.mark("data")
            tiles, cover, centres, things = self._picture(batch)
            self.clock.mark("paint")
            with self._autocast():
                patches = self.see(tiles)[:, 1:]
                loss, parts = vision_loss(self.heads, patches, cover, centres, things)
            loss.backward()
            self.clock.mark("model")
            norm = optimiser.step(scale)
            self.clock.mark("step")
            self.report.step("seeing", len(things), {"loss": loss.detach(), "norm": norm, **parts}, self._probe)

    def _talk(self, batches: Iterator[Batch], seconds: float) -> Average:
        model = self.model
        groups: list[tuple[nn.Module, float]] = [
            (model.vision_model, 0.35), (self.heads, 0.35), (model.connector, 1.0), (model.language_model, 1.0),
        ]  # fmt: skip
        optimiser = Optimiser(groups, self.settings.lr)
        average = Average(model, 0.998)
        start = self.report.elapsed()
        steps = 0
        while (now := self.report.elapsed()) < start + seconds:
            part = (now - start) / seconds
            scale = min(1.0, 0.02 + part / 0.03) * (1 - part) ** 0.9
            batch = next(batches)
            self.clock.mark("data")
            tiles, cover, centres, things = self._picture(batch)
            self.clock.mark("paint")
            with self._autocast():
                patches = self.see(tiles)[:, 1:]
                seen, parts = vision_loss(self.heads, patches, cover, centres, things)
                spoken, right = self._conversation(batch, patches)
            (spoken + 0.25 * seen).backward()
            self.clock.mark("model")
            norm = optimiser.step(scale)
            self.clock.mark("step")
            steps += 1
            if steps < 200:
                average.decay = steps / (steps + 10)
            average.decay = 0.998 if steps >= 200 else average.decay
            average.update()
            figures = {"loss": spoken.detach(), "right": right, "norm": norm, "accuracy": parts["accuracy"]}
            self.report.step("talking", len(things), figures, self._quick(average))
            self.report.checkpoint(model, average)
        return average

    def _quick(self, average: Average):  # type: ignore[no-untyped-def]
        def check() -> str:
            average.swap()
            text = self._judge(128, quick=True)
            average.swap()
            return text

        return check

    def _picture(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Paint a batch: tiles (B*N, 3, 448, 448) and what is where on them."""
        plans = batch.plans.to(self.device)
        side = self.config.vision.patches_per_side
        with torch.no_grad():
            canvas, drawing = self.painter.paint(plans, strong=True)
            tiles = normalise(cut_tiles(canvas, plans.grid).flatten(0, 1), self._dtype())
            cover = cover_maps(drawing, plans, side).flatten(-2)  # (B, N, K, P)
            centres = centres_in_tiles(plans.boxes, plans.size, plans.grid, side)
        return tiles, cover, centres, batch.things.to(self.device)

    def _conversation(self, batch: Batch, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of all answers of a batch, and the share of their tokens that are predicted right."""
        assert batch.ids is not None, "the stream has no questions"
        assert batch.weights is not None, "the questions have no weights"
        config, language = self.config, self.model.language_model
        ids, weights = batch.ids.to(self.device).long(), batch.weights.to(self.device).float()
        rows = len(ids)
        shuffled = pixel_shuffle(patches, config.shuffle_factor, config.ps_version)
        features = self.model.connector(shuffled).reshape(rows, -1, config.text.hidden_size)
        prefix, bias, cos, sin = self._layout(features.shape[1])
        opening, closing = (
            language.embed_tokens(part).expand(rows, -1, -1) for part in prefix.split([len(prefix) - 1, 1])
        )
        embeds = torch.cat((opening, features.to(opening.dtype), closing, language.embed_tokens(ids)), 1)
        padding = bias.shape[0] - embeds.shape[1]
        embeds = F.pad(embeds, (0, 0, 0, padding))
        length = embeds.shape[1]
        # One compiled graph, for pictures of one tile; others run as written.
        read = self.read if batch.plans.grid == (1, 1) and rows == self.settings.tiles // 2 else language
        hidden = read(embeds.flatten(0, 1), cos.repeat(rows, 1), sin.repeat(rows, 1), BranchAttention(rows, bias))
        first = length - padding - ids.shape[1]
        hidden = hidden.unflatten(0, (rows, length))[:, first - 1 : length - padding - 1]
        chosen = weights > 0
        logits = language.logits(hidden[chosen]).float()
        losses = F.cross_entropy(logits, ids[chosen], reduction="none")
        loss = (losses * weights[chosen]).sum() / weights[chosen].sum()
        return loss, (logits.detach().argmax(-1) == ids[chosen]).float().mean()

    def _layout(self, num_image_tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Prefix ids without the image tokens, attention bias, cos and sin, for pictures of one number of tokens."""
        if num_image_tokens not in self.layouts:
            context = self.speaker.image[1]
            full = self.speaker.prefix(num_image_tokens)
            bias, positions = branch_bias(len(full)), branch_positions(len(full))
            padding = -len(positions) % 8
            bias = F.pad(bias, (0, padding, 0, 0), value=float("-inf"))
            bias = F.pad(bias, (0, 0, 0, padding), value=0.0)
            positions = F.pad(positions, (0, padding)).to(self.device)
            cos, sin = self.model.language_model.rope.cos_sin(positions, [len(positions)], [len(positions)])
            ids = torch.tensor([token for token in full if token != context], device=self.device)
            self.layouts[num_image_tokens] = (ids, bias.to(self.device, self._dtype()), cos, sin)
        return self.layouts[num_image_tokens]

    def _probe(self) -> str:
        """Share of foods that the tower alone names right, by held-out style (single things, as drawn)."""
        from tools.seedling.judge import make_cases
        from tools.seedling.scenes import batch_plans

        texts = []
        for style in self.pack.held_out_styles:
            cases = make_cases(self.catalogue, style, "food", "en", 16 if self.settings.tiny else 262, 5, (448, 448))
            plans = batch_plans([case.plan for case in cases], (448, 448), (1, 1)).to(self.device)
            with torch.inference_mode(), self._autocast():
                canvas, drawing = self.painter.paint(plans, strong=False)
                patches = self.model.vision_model(normalise(cut_tiles(canvas, (1, 1)).flatten(0, 1), self._dtype()))[
                    :, 1:
                ]
                features, _ = self.heads(patches)
                cover = cover_maps(drawing, plans, self.config.vision.patches_per_side)[:, 0, 0].flatten(-2)
                pooled = torch.einsum("bp,bpc->bc", cover.to(features.dtype), features) / cover.sum(-1)[
                    :, None
                ].clamp_min(1e-3)
                logits = self.heads.thing(pooled.to(features.dtype)).float()
            foods = torch.tensor([thing.is_food for thing in self.pack.things], device=self.device)
            things = torch.tensor([case.thing for case in cases], device=self.device)
            among_all = (logits.argmax(-1) == things).float().mean().item()
            among_foods = (logits.masked_fill(~foods, -1e9).argmax(-1) == things).float().mean().item()
            texts.append(f"{self.pack.styles[style]} {among_all:.3f} (of foods {among_foods:.3f})")
        return "tower names foods: " + ", ".join(texts)

    def _judge(self, number: int, quick: bool) -> str:
        """Ask about new scenes; the full judgement goes into metrics.json."""
        held_out = {self.pack.styles[idx]: idx for idx in self.pack.held_out_styles}
        trained = {
            name: idx
            for name, idx in zip(self.pack.styles, range(len(self.pack.styles)), strict=True)
            if not self.pack.held_out[idx]
        }
        plain = {name: idx for name, idx in trained.items() if "outlined" not in name}
        some = {"twemoji": trained["twemoji"], "fluent-emoji": trained["fluent-emoji"]}
        answer = Greedy(self.model, self.speaker)
        main = ("food", "exists", "count")
        rounds: list[tuple[dict[str, int], int, tuple[str, ...]]] = [({**some, **held_out}, number, main)]
        if not quick:
            few = max(8, number // 5)
            rounds = [(held_out, number, main), (plain, few, (*main, "name"))]
            rounds.append((held_out, few, ("name", "where", "background", "total")))
        with self._autocast():
            results = [
                r
                for chosen, n, kinds in rounds
                for r in judge(answer, self.painter, self.catalogue, chosen, n, 11, kinds)
            ]
        table = summarise(results, tuple(held_out))
        text = "; ".join(f"{kind} " + " ".join(f"{k} {v:.3f}" for k, v in row.items()) for kind, row in table.items())
        if not quick:
            self.report.finish(results, table, self.settings, self.device)
            self.report.say(text)
        return text

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32


if __name__ == "__main__":
    main()
