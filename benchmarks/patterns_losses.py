"""The three losses of a Q-Former's first stage, and who sees whom in each (BLIP-2, Li et al. 2023, arXiv 2301.12597).

In: patch features of pictures and tokens of their sentences, pair by pair. Out: three losses. Text stands behind the
queries and shares their self-attention; it never looks at patches itself, so all that it learns of a picture has
passed through the queries. Knows no files and no optimizer.

Shapes: B pairs, P patches, C vision width, Q queries, L text tokens, W the Q-Former's width, E width of comparison,
V words.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.config import QFormerConfig
from ivl.model.qformer import QFormerConnector, QFormerMLP, init_linear

Mask = Literal["unimodal", "bidirectional", "causal"]
"""ITC: queries and text see only their own kind. ITM: all see all. ITG: text sees the queries and the text before it,
queries see queries."""
SMOOTHING = 0.1
"""Of the labels in ITC and ITG, as in BLIP-2's code."""
TEMPERATURE = 0.07
"""Where the learned temperature of ITC begins."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentences:
    """Sentences of a batch: a first mark, the words, an end mark, and filling."""

    ids: Tensor
    """(B, L)."""
    real: Tensor
    """(B, L), false where it is filling."""

    def to(self, device: torch.device) -> "Sentences":
        return Sentences(ids=self.ids.to(device), real=self.real.to(device))

    def __getitem__(self, rows: Tensor) -> "Sentences":
        return Sentences(ids=self.ids[rows], real=self.real[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """Scalars."""

    itc: Tensor
    itm: Tensor
    itg: Tensor

    @property
    def total(self) -> Tensor:
        return self.itc + self.itm + self.itg


def attention_mask(kind: Mask, num_queries: int, real: Tensor) -> Tensor:
    """(B, 1, Q + L, Q + L), true where a row sees a column: queries first, then text; nobody sees filling."""
    batch, length = real.shape
    total = num_queries + length
    is_query = torch.arange(total, device=real.device) < num_queries
    place = torch.arange(total, device=real.device)
    if kind == "unimodal":
        sees = is_query[:, None] == is_query[None, :]
    elif kind == "bidirectional":
        sees = torch.ones(total, total, dtype=torch.bool, device=real.device)
    else:
        sees = is_query[None, :] | (~is_query[:, None] & (place[None, :] <= place[:, None]))
    there = torch.cat((real.new_ones(batch, num_queries), real), dim=1)  # (B, Q + L)
    return (sees[None] & there[:, None, :])[:, None]


def contrast(queries: Tensor, text: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ITC. queries (B, Q, E) and text (B, E) of length 1 -> the loss, and likeness (B, B) of pictures to texts and of
    texts to pictures.

    A picture is as like a text as the most like of its queries; the other pairs of the batch are the negatives.
    """
    likeness = torch.einsum("bqe,ce->bcq", queries, text).amax(dim=-1) / temperature  # (B pictures, B texts)
    targets = torch.arange(len(text), device=text.device)
    by_picture = F.cross_entropy(likeness, targets, label_smoothing=SMOOTHING)
    by_text = F.cross_entropy(likeness.T, targets, label_smoothing=SMOOTHING)
    return (by_picture + by_text) / 2, likeness, likeness.T


@torch.no_grad()
def hard_negatives(likeness: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """(B, B) likeness, rows to columns -> for each row a column that is not its own, drawn by likeness: (B,)."""
    own = torch.eye(len(likeness), dtype=torch.bool, device=likeness.device)
    weights = likeness.float().masked_fill(own, float("-inf")).softmax(dim=-1)
    return torch.multinomial(weights.cpu(), 1, generator=generator)[:, 0].to(likeness.device)


def match(logits: Tensor) -> Tensor:
    """ITM. (3B, 2): B true pairs, then 2B false ones -> the loss."""
    labels = torch.arange(len(logits), device=logits.device) < len(logits) // 3
    return F.cross_entropy(logits, labels.long())


def generate(logits: Tensor, sentences: Sentences) -> Tensor:
    """ITG. (B, L, V): each place says the next word, up to and with the end mark -> the loss over real words."""
    targets = sentences.ids.masked_fill(~sentences.real, -100)[:, 1:]
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), label_smoothing=SMOOTHING)


class TextSide(nn.Module):
    """What the first stage needs beside the connector, and the second stage has no use for.

    Words are those of the model's tokenizer, and three marks: the first place of a sentence that is compared, of one
    that is generated, and its end.
    """

    def __init__(self, config: QFormerConfig, num_words: int, most_tokens: int, width: int = 256) -> None:
        super().__init__()
        inner = config.hidden_size
        self.compare_id, self.generate_id, self.end_id = num_words, num_words + 1, num_words + 2
        self.words = nn.Embedding(num_words + 3, inner)
        self.places = nn.Embedding(most_tokens, inner)
        self.norm = nn.LayerNorm(inner, eps=config.norm_eps)
        self.blocks = nn.ModuleList(TextBlock(config) for _ in range(config.num_layers))
        self.query_width, self.text_width = nn.Linear(inner, width), nn.Linear(inner, width)
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE))
        self.match = nn.Linear(inner, 2)
        self.transform = nn.Sequential(nn.Linear(inner, inner), nn.GELU(), nn.LayerNorm(inner, eps=config.norm_eps))
        self.bias = nn.Parameter(torch.zeros(num_words + 3))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def embed(self, ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, W)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        out: Tensor = self.norm(self.words(ids) + self.places(places))
        return out

    def logits(self, text: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, V); the words' own embeddings are the head."""
        return F.linear(self.transform(text), self.words.weight, self.bias)


class TextBlock(nn.Module):
    """The feed-forward net of text in one layer."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.mlp = QFormerMLP(config.hidden_size, config.intermediate_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x + self.mlp(x))
        return out


class Alignment(nn.Module):
    """A connector and its text side, trained together."""

    def __init__(self, connector: QFormerConnector, text: TextSide) -> None:
        super().__init__()
        self.connector, self.text = connector, text

    def forward(self, patches: Tensor, sentences: Sentences, generator: torch.Generator | None = None) -> Losses:
        """patches (B, P, C) of as many pictures as sentences; the generator draws the negatives of ITM."""
        text = self.text
        queries, words = self.run(patches, sentences, "unimodal")
        looks = F.normalize(text.query_width(queries), dim=-1)  # (B, Q, E)
        reads = F.normalize(text.text_width(words[:, 0]), dim=-1)  # (B, E)
        itc, to_texts, to_pictures = contrast(looks, reads, text.temperature)
        itm = self._matching(patches, sentences, to_texts, to_pictures, generator)
        begun = Sentences(ids=sentences.ids.clone(), real=sentences.real)
        begun.ids[:, 0] = text.generate_id
        _, said = self.run(patches, begun, "causal")
        return Losses(itc=itc, itm=itm, itg=generate(text.logits(said), sentences))

    def run(self, patches: Tensor, sentences: Sentences, kind: Mask) -> tuple[Tensor, Tensor]:
        """Queries (B, Q, W) and text (B, L, W) after the last layer."""
        connector = self.connector
        seen, first = connector.vision_norm(patches), connector.first(len(patches))
        mask = attention_mask(kind, first.shape[1], sentences.real)
        x = torch.cat((first, self.text.embed(sentences.ids)), dim=1)
        for layer, block in zip(connector.layers, self.text.blocks, strict=True):
            x = layer(x, seen, mask, block)
        return x[:, : first.shape[1]], x[:, first.shape[1] :]

    def _matching(
        self,
        patches: Tensor,
        sentences: Sentences,
        to_texts: Tensor,
        to_pictures: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        """True pairs, then each text with a wrong picture, then each picture with a wrong text; every query votes."""
        own = torch.arange(len(patches), device=patches.device)
        wrong_picture, wrong_text = hard_negatives(to_pictures, generator), hard_negatives(to_texts, generator)
        pictures, texts = torch.cat((own, wrong_picture, own)), torch.cat((own, own, wrong_text))
        queries, _ = self.run(patches[pictures], sentences[texts], "bidirectional")
        return match(self.text.match(queries).mean(dim=1))
