"""The whole model: packing, batches, caching, the splice of image features, the loss."""

import pytest
import torch

from ivl.errors import InputError
from ivl.model.internvl import Decoding, packed_loss
from random_model import IMAGE_TOKEN, make_model, prompt_with_tiles, random_ids, random_tiles


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-10)


def test_packed_sequences_do_not_see_each_other() -> None:
    model, parts = make_model(), [random_ids(5), random_ids(9, 4), random_ids(1, 5)]
    packed = model(torch.cat(parts), cu_seqlens=torch.tensor([0, 5, 14, 15])).logits
    assert close(packed, torch.cat([model(part).logits for part in parts]))


def test_packed_sequences_keep_their_own_rope() -> None:
    # One sequence beyond the 64 trained positions (its base grows), one below.
    model, parts = make_model(), [random_ids(100), random_ids(20, 4)]
    packed = model(torch.cat(parts), cu_seqlens=torch.tensor([0, 100, 120])).logits
    assert close(packed, torch.cat([model(part).logits for part in parts]))


def test_a_batch_is_its_rows() -> None:
    model, rows = make_model(), torch.stack([random_ids(7), random_ids(7, 4)])
    assert close(model(rows).logits, torch.stack([model(row).logits for row in rows]))


def test_image_features_go_where_the_image_tokens_are() -> None:
    model, ids, tiles = make_model(), prompt_with_tiles(2), random_tiles(2)
    embeds = model.embed(ids, model.encode_tiles(tiles))
    places = ids == IMAGE_TOKEN
    assert close(embeds[places], model.encode_tiles(tiles).flatten(0, 1))
    assert close(embeds[~places], model.language_model.embed_tokens(ids[~places]))


@pytest.mark.parametrize("tiles", [1, 3])
def test_a_mismatch_of_tiles_and_image_tokens_raises(tiles: int) -> None:
    with pytest.raises(InputError, match=f"8 image tokens .* the tiles make {tiles * 4}"):
        make_model()(prompt_with_tiles(2), random_tiles(tiles))


def test_without_tiles_the_image_tokens_id_is_text() -> None:
    model, ids = make_model(), torch.tensor([1, IMAGE_TOKEN, 2])
    assert close(model.embed(ids), model.language_model.embed_tokens(ids))


@pytest.mark.parametrize("offsets", [[1, 5], [0, 4], [0, 3, 3, 5], [0, 6]])
def test_offsets_that_do_not_fit_raise(offsets: list[int]) -> None:
    with pytest.raises(InputError, match="must rise from 0 to the 5 tokens"):
        make_model()(random_ids(5), cu_seqlens=torch.tensor(offsets))


def test_decoding_with_a_cache_equals_one_forward() -> None:
    model, ids, tiles = make_model(), prompt_with_tiles(2), random_tiles(2)
    whole = torch.cat((ids, random_ids(10, 9)))
    expected = model(whole, tiles).logits[len(ids) - 1 :]
    decoding = Decoding(model, capacity=len(whole))
    steps = [decoding.step(model.embed(ids, model.encode_tiles(tiles)))]
    steps += [decoding.step(model.embed(whole[i : i + 1])) for i in range(len(ids), len(whole))]
    assert close(torch.stack(steps), expected)


def test_greedy_follows_the_argmax_of_one_forward() -> None:
    # The answer crosses the 64 trained positions: its rope is that of its bound from the first token on.
    model, ids = make_model(), random_ids(50)
    tokens = model.generate_greedy(ids, max_new_tokens=30)
    logits = model(torch.cat((ids, torch.tensor(tokens)))).logits
    assert tokens == logits[len(ids) - 1 : -1].argmax(-1).tolist()


def test_greedy_ends_with_an_end_token_and_with_nothing_else() -> None:
    model, ids = make_model(), random_ids(8)
    tokens = model.generate_greedy(ids, max_new_tokens=20)
    end = tokens[4]
    assert model.generate_greedy(ids, max_new_tokens=20, eos_ids=(end,)) == tokens[: tokens.index(end) + 1]


def test_a_tied_head_is_the_embedding() -> None:
    model = make_model(tie_embeddings=True)
    assert "language_model.lm_head.weight" not in model.state_dict()
    hidden = torch.randn(3, 48, dtype=torch.float64)
    assert close(model.language_model.logits(hidden), hidden @ model.language_model.embed_tokens.weight.T)


def test_the_loss_is_the_mean_over_all_labelled_tokens() -> None:
    logits, labels = torch.randn(6, 5, dtype=torch.float64), torch.tensor([3, -100, 1, 2, 4, 0])
    # Sequences of 4 and 2 tokens: label 4 begins the second one, so no token predicts it.
    pairs = [(1, 1), (2, 2), (4, 0)]
    expected = -torch.stack([logits[i].float().log_softmax(-1)[label] for i, label in pairs]).mean()
    assert torch.allclose(packed_loss(logits, labels, [0, 4, 6]), expected)


def test_a_batchs_loss_counts_tokens_not_rows() -> None:
    model, rows = make_model(), torch.stack([random_ids(7), random_ids(7, 4)])
    labels = rows.clone()
    labels[0, :5] = -100
    sums = [model(row, labels=label).loss * n for row, label, n in zip(rows, labels, (2, 6), strict=True)]
    assert torch.allclose(model(rows, labels=labels).loss, sum(sums) / 8)


def test_every_parameter_learns() -> None:
    model, ids = make_model(qkv_bias=True, qk_norm=True, o_bias=True), prompt_with_tiles(1)
    model(ids, random_tiles(1), labels=ids).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
