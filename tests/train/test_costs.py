"""The formula counts what torch really multiplies."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ivl.data.example import PackedBatch
from ivl.model.config import InternVLConfig
from ivl.model.family import FAMILY
from ivl.model.internvl import InternVL
from ivl.train.config import TrainConfig
from ivl.train.costs import run_flops, step_costs
from ivl.train.forward import PackedForward, apply_checkpointing
from ivl.train.trainable import apply_trainable
from random_model import CONFIG, prompt_with_tiles, random_ids, random_tiles

LORA = {"r": 4, "language_model": "lora"}
JOBS = {
    "lora": LORA,
    "lora of some maps": LORA | {"target_modules": ("down_proj",)},
    "lora of v and gate": LORA | {"target_modules": ("v_proj", "gate_proj")},
    "lora and connector": LORA | {"connector": "full"},
    "lora everywhere": LORA | {"connector": "lora", "vision_model": "lora"},
    "lora and last vision layer": LORA | {"vision_model": "full", "vision_layers": 1},
    "full": {"language_model": "full", "vision_model": "full", "connector": "full"},
    "stage 1": {"language_model": "frozen", "connector": "full"},
}


def run(config: InternVLConfig, train: TrainConfig, num_checkpointed: int) -> tuple[float, float]:
    """Operations of products, attention aside, of the forward and of the backward; one sample of 2 tiles."""
    torch.manual_seed(0)
    model = InternVL(config).float()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    apply_trainable(model, train, seed=0)
    apply_checkpointing(model, num_checkpointed)
    forward = PackedForward(model).train()
    ids = torch.cat((prompt_with_tiles(2), random_ids(5)))
    targets = torch.full_like(ids, -100)
    targets[-7:] = 3
    with FlopCounterMode(display=False) as counter:
        total, _ = forward(ids, targets, torch.ones(len(ids)), (0, len(ids)), random_tiles(2).float())
        ahead = _products(counter)
        total.backward()
    return ahead, _products(counter) - ahead


def _products(counter: FlopCounterMode) -> float:
    return sum(count for op, count in counter.get_flop_counts()["Global"].items() if "attention" not in str(op))


@pytest.mark.parametrize(
    ("job", "num_checkpointed", "tie"),
    [*((job, 0, False) for job in JOBS), ("full", 0, True), ("lora", 1, False), ("lora everywhere", 1, False)],
)
def test_equals_what_torch_multiplies(job, num_checkpointed, tie):
    config = replace(CONFIG, text=replace(CONFIG.text, tie_embeddings=tie))
    train = TrainConfig(lora_dropout=0, **JOBS[job])
    costs = step_costs(config, train, num_checkpointed)
    num_tokens = len(prompt_with_tiles(2)) + 5
    flops = costs.flops(num_tokens=num_tokens, sum_squares=0, num_labelled=7, num_tiles=2)
    forward, backward = run(config, train, num_checkpointed)
    vision = config.vision
    scores = 2 * vision.num_layers * 4 * (1 + vision.patches_per_side**2) ** 2 * vision.hidden_size
    trained = {"full": 2, "lora everywhere": 2, "lora and last vision layer": 1}.get(job, 0)
    attention = scores * trained / 2  # of one forward of the layers that have a backward
    again = attention if num_checkpointed else 0
    # The head's gradients are made in the forward.
    head = costs.per_labelled.backward * 7
    assert forward == flops.forward - scores + head
    expected = flops.backward - 2 * attention - head + flops.recomputed - again
    if num_checkpointed:  # torch stops recomputing once it has all it needs: a layer's last product may be spared
        assert 0.9 * expected <= backward <= expected
    else:
        assert backward == expected


@pytest.mark.parametrize("fields", [{}, {"language_model": "frozen", "connector": "full"}])
def test_attention_is_causal_and_counted_thrice_where_gradients_pass(fields):
    text = CONFIG.text
    pair = step_costs(CONFIG, TrainConfig(**fields)).per_pair
    assert pair.model == 3 * text.num_layers * 2 * text.num_heads * text.head_dim


def test_a_batch_is_counted_by_its_samples():
    batch = PackedBatch(
        input_ids=torch.zeros(10, dtype=torch.int64),
        targets=torch.tensor([-100, 1, 2, -100, -100, -100, 3, -100, -100, 4]),
        weights=torch.ones(10),
        offsets=(0, 4, 10),
        pixel_values=torch.zeros(2, 3, 56, 56),
        sample_ids=("a", "b"),
    )
    expected = step_costs(CONFIG, TrainConfig()).flops(num_tokens=10, sum_squares=52, num_labelled=4, num_tiles=2)
    assert run_flops(CONFIG, TrainConfig(), batch) == expected.model
    nothing = replace(batch, sample_ids=(), offsets=(0, 10), pixel_values=None, targets=torch.full((10,), -100))
    assert run_flops(CONFIG, TrainConfig(), nothing) == 0


def test_the_published_work_of_the_peers():
    """LoRA r 128 of InternVL2-2B, batch 4 of 7 tiles and 128 tokens, head over all positions: 83.4 TFLOP."""
    length = 7 * 256 + 128
    costs = step_costs(FAMILY["InternVL2-2B"], TrainConfig())
    flops = costs.flops(num_tokens=4 * length, sum_squares=4 * length**2, num_labelled=4 * length, num_tiles=28)
    assert flops.model == pytest.approx(83.4e12, rel=0.01)
    full = TrainConfig(language_model="full", vision_model="full", connector="full")
    flops = step_costs(FAMILY["InternVL2-2B"], full).flops(
        num_tokens=4 * length, sum_squares=4 * length**2, num_labelled=4 * length, num_tiles=28
    )
    assert flops.model == pytest.approx(144.0e12, rel=0.01)


def test_all_checkpointed_adds_a_forward_of_the_decoder():
    plain, again = (step_costs(CONFIG, TrainConfig(), count) for count in (0, CONFIG.text.num_layers))
    assert again.per_token.recomputed == again.per_token.forward
    assert again.per_pair.recomputed == again.per_pair.forward
    assert again.per_token.model == plain.per_token.model
    assert again.per_tile.recomputed == plain.per_token.recomputed == 0
