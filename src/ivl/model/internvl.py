"""InternVL2: vision model, connector and language model, joined at the image tokens.

In: token ids and normalised tiles. Out: logits, and a loss where labels are given. Knows no text and no pictures.

Shapes: T packed tokens, S sequences, B rows of a batch, D text width, N tiles, I image tokens of a tile,
V vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.errors import ConfigError, InputError
from ivl.model.attention import Attention, CachedAttention, PackedAttention
from ivl.model.config import InternVLConfig
from ivl.model.connector import make_connector, pixel_shuffle
from ivl.model.decoder import LanguageModel
from ivl.model.vit import VisionModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """What a forward gives."""

    logits: Tensor
    """(..., V), shaped as the input ids."""
    loss: Tensor | None = None
    """Mean cross-entropy over all labelled tokens; None without labels."""


class InternVL(nn.Module):
    """The whole model."""

    def __init__(self, config: InternVLConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionModel(config.vision)
        self.connector = make_connector(config)
        self.language_model = LanguageModel(config.text)

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
    ) -> Output:
        """One causal forward over whole sequences.

        input_ids: (B, T), rows of one length; or (T,), one sequence, or several packed with `cu_seqlens` (S + 1,).
        pixel_values: (N, 3, S, S), the tiles of all images in the order of the text.
        labels: as input_ids, aligned with them (shifted inside), -100 where nothing is trained.
        Raises InputError when tiles are given and their features do not match the image tokens in number.
        """
        flat, offsets = _pack(input_ids, cu_seqlens)
        features = None if pixel_values is None else self.encode_tiles(pixel_values)
        hidden = self.hidden_states(self.embed(flat, features), offsets, PackedAttention(offsets))
        logits = self.language_model.logits(hidden).view(*input_ids.shape, -1)
        loss = None if labels is None else packed_loss(logits.flatten(0, -2), labels.reshape(-1), offsets)
        return Output(logits=logits, loss=loss)

    def encode_tiles(self, pixel_values: Tensor) -> Tensor:
        """Tiles (N, 3, S, S) -> image tokens (N, I, D)."""
        tokens: Tensor = self.connector(self.shuffled_patches(pixel_values))
        return tokens

    def shuffled_patches(self, pixel_values: Tensor) -> Tensor:
        """Tiles (N, 3, S, S) -> what the connector reads: (N, I, 4C) for the usual 2 x 2 patches a token, (N, P, C) for
        a Q-Former."""
        config = self.config
        pixel_values = pixel_values.to(self.vision_model.class_embedding.dtype)
        patches = self.vision_model(pixel_values, config.select_layer)[:, 1:]  # (N, P, C), class token dropped
        return pixel_shuffle(patches, config.shuffle_factor, config.ps_version)

    def embed(self, input_ids: Tensor, image_features: Tensor | None = None) -> Tensor:
        """Embeddings (T, D) of ids (T,), with image features (N, I, D) in the places of the image tokens.

        Without features every id is text: a model may write the image token's id itself, and read it again.
        """
        embeds: Tensor = self.language_model.embed_tokens(input_ids)
        if image_features is None:
            return embeds
        if self.config.image_token_id is None:
            raise ConfigError("the model's folder names no <IMG_CONTEXT> token: its tokenizer files are missing")
        places = input_ids == self.config.image_token_id
        num_places, num_features = int(places.sum()), image_features.shape[0] * image_features.shape[1]
        if num_places != num_features:
            raise InputError(
                f"the prompt holds {num_places} image tokens (id {self.config.image_token_id}) but the tiles make "
                f"{num_features}: every tile needs its {image_features.shape[1]} <IMG_CONTEXT> tokens"
            )
        return embeds.masked_scatter(places[:, None], image_features.to(embeds.dtype))

    def hidden_states(self, embeds: Tensor, offsets: list[int], attention: Attention) -> Tensor:
        """Embeddings (T, D) of whole packed sequences -> hidden states (T, D) after the final norm."""
        lengths = [stop - start for start, stop in pairwise(offsets)]
        starts = torch.tensor(offsets[:-1]).repeat_interleave(torch.tensor(lengths)).to(embeds.device)
        positions = torch.arange(len(embeds), device=embeds.device) - starts
        cos, sin = self.language_model.rope.cos_sin(positions, lengths, lengths)
        hidden: Tensor = self.language_model(embeds, cos, sin, attention)
        return hidden

    @torch.inference_mode()
    def generate_greedy(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        max_new_tokens: int = 64,
        eos_ids: Collection[int] = (),
    ) -> list[int]:
        """The most likely token, again and again, for one prompt (T,): the oracle of the engine.

        Returns at most `max_new_tokens` ids; the last may be one of `eos_ids`, nothing else stops it. The rope is that
        of a sequence of T + max_new_tokens tokens, from the first token on.
        """
        bound = len(input_ids) + max_new_tokens
        features = None if pixel_values is None else self.encode_tiles(pixel_values)
        decoding = Decoding(self, capacity=bound)
        logits = decoding.step(self.embed(input_ids, features))
        tokens: list[int] = []
        while True:
            tokens.append(int(logits.argmax()))
            if len(tokens) == max_new_tokens or tokens[-1] in eos_ids:
                return tokens
            logits = decoding.step(self.embed(input_ids.new_tensor(tokens[-1:])))


class Decoding:
    """One sequence being decoded: its cached keys and values, and the rope tables of every position it may reach."""

    def __init__(self, model: InternVL, capacity: int) -> None:
        text = model.config.text
        self.language_model = model.language_model
        like = model.language_model.embed_tokens.weight
        self.attention = CachedAttention(text.num_layers, text.num_kv_heads, text.head_dim, capacity, like)
        positions = torch.arange(capacity, device=like.device)
        self.cos, self.sin = model.language_model.rope.cos_sin(positions, [capacity], [capacity])

    def step(self, embeds: Tensor) -> Tensor:
        """Take the next tokens' embeddings (T, D) in; give the logits (V,) after the last of them."""
        start, stop = self.attention.length, self.attention.length + len(embeds)
        hidden = self.language_model(embeds, self.cos[start:stop], self.sin[start:stop], self.attention)
        self.attention.advance(len(embeds))
        return self.language_model.logits(hidden[-1])


def packed_loss(logits: Tensor, labels: Tensor, offsets: list[int]) -> Tensor:
    """Mean cross-entropy of logits (T, V) against labels (T,) one position on, never across a sequence's end."""
    targets = torch.full_like(labels, -100)
    targets[:-1] = labels[1:]
    last = torch.tensor(offsets[1:], device=labels.device) - 1
    targets[last] = -100
    return F.cross_entropy(logits.float(), targets)


def _pack(input_ids: Tensor, cu_seqlens: Tensor | None) -> tuple[Tensor, list[int]]:
    """Ids (B, T) or (T,) as packed ids (T,) and the offsets of their sequences."""
    if input_ids.dim() == 2:
        rows, length = input_ids.shape
        assert cu_seqlens is None, "cu_seqlens goes with packed ids (T,), not with a batch (B, T)"
        return input_ids.reshape(-1), list(range(0, rows * length + 1, length))
    offsets = [0, len(input_ids)] if cu_seqlens is None else [int(offset) for offset in cu_seqlens]
    grows = all(start < stop for start, stop in pairwise(offsets))
    if offsets[0] != 0 or offsets[-1] != len(input_ids) or not grows:
        raise InputError(f"cu_seqlens={offsets} must rise from 0 to the {len(input_ids)} tokens of input_ids")
    return input_ids, offsets
