"""The trainer's own forward against the official goldens, packed and not, and against itself in other layouts."""

from dataclasses import replace

import pytest
import torch

from ivl.data.collate import collate
from ivl.data.seen_tiles import TileStore
from ivl.model import load_model
from ivl.model.internvl import InternVL
from ivl.train.forward import PackedForward, apply_checkpointing, first_bad_sample
from ivl.types import ModelInputs
from parity.test_models import official_gradients
from parity.tiny import NAMES, golden_json, goldens, pixels, write_checkpoint
from random_model import make_model, prompt_with_tiles, random_ids, random_tiles


@pytest.fixture(scope="module", params=NAMES)
def tiny(request, tmp_path_factory) -> tuple[str, InternVL]:
    return request.param, load_model(write_checkpoint(request.param, tmp_path_factory.mktemp("tiny") / request.param))


def sample(ids: torch.Tensor, labels: torch.Tensor, tiles: torch.Tensor | None) -> ModelInputs:
    counts = () if tiles is None else (len(tiles),)
    return ModelInputs(input_ids=ids, labels=labels, pixel_values=tiles, tile_counts=counts)


def loss_of(model: InternVL, samples: list[ModelInputs], weighting: str = "token") -> torch.Tensor:
    """The mean weighted loss of samples packed into one batch."""
    batch = collate([(str(number), each) for number, each in enumerate(samples)], weighting)
    forward = PackedForward(model)
    total, _ = forward(batch.input_ids, batch.targets, batch.weights, batch.offsets, batch.pixel_values)
    return total / batch.weights.sum()


def test_loss_and_gradients_are_the_official_ones(tiny):
    name, model = tiny
    numbers, arrays = golden_json(name, "loss"), goldens(name, "loss")
    model.requires_grad_(True)
    loss = loss_of(model, [sample(arrays["input_ids"][0], arrays["labels"][0], pixels("rand3"))])
    assert abs(loss.item() - float(arrays["loss"])) < 1e-4
    gradients = official_gradients(model, loss)
    for key, norm in numbers["grad_norm_l2"].items():
        assert abs(gradients[key].norm().item() - norm) < 1e-3 * norm, key


def test_two_samples_packed_are_the_official_batch(tiny):
    name, model = tiny
    batch, arrays = golden_json(name, "loss")["batch"], goldens(name, "forward")
    model.requires_grad_(True)
    mask = arrays["b_attention_mask"].bool()
    labels = torch.tensor(batch["labels"])
    tiles = pixels("rand3").split([2, 1])
    samples = [sample(arrays["b_input_ids"][row][mask[row]], labels[row][mask[row]], tiles[row]) for row in range(2)]
    loss = loss_of(model, samples)
    assert abs(loss.item() - batch["loss"]) < 1e-4
    gradients = official_gradients(model, loss)
    for key, norm in batch["grad_norm_l2"].items():
        assert abs(gradients[key].norm().item() - norm) < 1e-3 * norm, key


def random_samples() -> list[ModelInputs]:
    samples = []
    for count, text in ((1, 4), (0, 9), (3, 6)):
        ids = prompt_with_tiles(count, text) if count else random_ids(2 * text, seed=text)
        labels = ids.clone()
        labels[: len(ids) // 2] = -100
        samples.append(sample(ids, labels, random_tiles(count, seed=count) if count else None))
    return samples


@pytest.mark.parametrize("weighting", ["token", "sample", "square"])
def test_packed_equals_one_by_one(weighting):
    model, samples = make_model(), random_samples()
    packed = loss_of(model, samples, weighting)
    power = {"token": 0, "sample": 1, "square": 0.5}[weighting]
    counts = [int((each.labels[1:] >= 0).sum()) for each in samples]
    single = torch.stack([loss_of(model, [each]) for each in samples])  # means over each one's tokens
    shares = torch.tensor([count ** (1 - power) for count in counts], dtype=torch.float64)
    assert abs(packed - (single * shares).sum() / shares.sum()) < 1e-6


def test_checkpointing_changes_nothing():
    gradients = []
    for layers in (0, 1, 2):
        model = make_model().requires_grad_(True)
        apply_checkpointing(model, layers)
        loss_of(model, random_samples()).backward()
        gradients.append({name: each.grad for name, each in model.named_parameters() if each.grad is not None})
    for name, expected in gradients[0].items():
        for other in gradients[1:]:
            assert torch.equal(other[name], expected), name


def test_frozen_pictures_are_encoded_without_a_graph():
    model = make_model().requires_grad_(False)
    model.connector.requires_grad_(True)
    seen = []
    model.connector.register_forward_pre_hook(lambda module, args: seen.append(args[0].requires_grad))
    loss_of(model, random_samples()).backward()
    assert seen == [False]
    assert model.connector.fc1.weight.grad.abs().sum() > 0
    assert model.language_model.norm.weight.grad is None


def test_a_batch_without_pictures_still_reaches_the_connector_where_ranks_train_together():
    model = make_model().requires_grad_(True)
    batch = collate([("a", random_samples()[1])])
    values = []
    for always in (False, True):
        model.zero_grad()
        forward = PackedForward(model, always_sees=always)
        total, _ = forward(batch.input_ids, batch.targets, batch.weights, batch.offsets, None)
        total.backward()
        values.append(total.item())
        assert (model.connector.fc1.weight.grad is not None) == always
    assert model.connector.fc1.weight.grad.abs().sum() == 0
    assert values[0] == values[1]


def test_an_empty_batch_reaches_every_parameter_and_weighs_nothing():
    model = make_model().requires_grad_(True)
    batch = collate([])
    total, losses = PackedForward(model, always_sees=True)(
        batch.input_ids, batch.targets, batch.weights, batch.offsets, batch.pixel_values
    )
    total.backward()
    assert total.item() == 0
    assert losses.abs().sum() == 0
    missing = {name for name, each in model.named_parameters() if each.grad is None}
    assert missing <= {"language_model.lm_head.weight"}


def test_the_bad_sample_is_named():
    losses = torch.tensor([0.0, 1.0, float("nan"), 2.0])
    spans = [("a", slice(0, 2)), ("b", slice(2, 4))]
    assert first_bad_sample(losses, spans) == "b"
    assert first_bad_sample(losses.nan_to_num(), spans) is None


def test_tiles_seen_before_give_the_same_loss_and_are_not_encoded_again(tmp_path, monkeypatch):
    model = make_model().float().requires_grad_(False)
    model.connector.requires_grad_(True)
    width = model.config.vision.hidden_size * model.config.shuffle_factor**2
    store = TileStore(folder=tmp_path, shape=(model.config.tokens_per_tile, width), dtype=torch.float32)
    forward = PackedForward(model, store=store)
    encoded = []
    encode = model.shuffled_patches
    monkeypatch.setattr(model, "shuffled_patches", lambda pixels: (encoded.append(len(pixels)), encode(pixels))[1])
    samples = [(name, replace_pixels(each)) for name, each in zip("abc", random_samples(), strict=True)]
    losses = []
    for chosen in (samples[:2], samples, samples):
        batch = store.look_up(collate(chosen))
        total, _ = forward(batch.input_ids, batch.targets, batch.weights, batch.offsets, batch.pixel_values, batch.seen)
        losses.append(total.item())
    assert encoded == [1, 3]
    assert losses[2] == losses[1]
    plain = collate(samples)
    total, _ = PackedForward(model)(plain.input_ids, plain.targets, plain.weights, plain.offsets, plain.pixel_values)
    assert abs(total.item() - losses[1]) < 1e-4


def test_a_full_disk_ends_the_store_and_not_the_run(tmp_path, monkeypatch):
    model = make_model().float().requires_grad_(False)
    width = model.config.vision.hidden_size * model.config.shuffle_factor**2
    store = TileStore(folder=tmp_path / "file", shape=(model.config.tokens_per_tile, width), dtype=torch.float32)
    (tmp_path / "file").write_text("in the way")
    forward = PackedForward(model, store=store)
    batch = store.look_up(collate([("a", replace_pixels(random_samples()[0]))]))
    forward(batch.input_ids, batch.targets, batch.weights, batch.offsets, batch.pixel_values, batch.seen)
    assert forward.store is None
    assert "cannot be written" in forward.store_fault


def replace_pixels(inputs: ModelInputs) -> ModelInputs:
    """The same in float32, as the processor makes it."""
    pixels = inputs.pixel_values
    return replace(inputs, pixel_values=None if pixels is None else pixels.float())
