"""XTuner's configs: read without being run, carried over in full, and nothing lost in silence."""

import contextlib
import dataclasses

import pytest

from ivl.data.settings import DataSource
from ivl.errors import SettingsError
from ivl.train.config import TrainConfig
from ivl.train.recipe import load_recipe
from ivl.train.xtuner import read_xtuner
from ivl.train.xtuner_reader import Item, Reference, Unread, read_python
from train.xtuner_config import HEAD, MODEL, XTUNER_CONFIG

TUTORIAL = TrainConfig(
    path="/models/InternVL2-2B",
    language_model="lora",
    vision_model="frozen",
    connector="full",
    r=128,
    lora_alpha=256,
    lora_dropout=0.05,
    data_root="/data/FoodieQA/",
    data_path=(DataSource(path="sivqa_llava.json"),),
    image_folder=".",
    prompt_template="internlm2-chat",
    max_length=8192,
    batch_size=4,
    accumulative_counts=2,
    dataloader_num_workers=4,
    max_epochs=10,
    lr=3e-5,
    betas=(0.9, 0.999),
    weight_decay=0.05,
    max_norm=1,
    warmup_ratio=0.03,
    save_steps=32,
    save_total_limit=3,
)


@pytest.fixture
def read(tmp_path):
    """Reads the tutorial's config with pieces of its text replaced."""

    def from_text(*replacements, text=XTUNER_CONFIG):
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / "config.py"
        path.write_text(text, "utf-8")
        return read_xtuner(path)

    return from_text


def changed(found):
    """What differs from the tutorial's job."""
    pairs = (
        (f.name, getattr(found.config, f.name), getattr(TUTORIAL, f.name)) for f in dataclasses.fields(TrainConfig)
    )
    return {name: value for name, value, usual in pairs if value != usual}


def line_of(text):
    return XTUNER_CONFIG[: XTUNER_CONFIG.index(text)].count("\n") + 1


def test_the_tutorials_config_is_carried_over(read):
    found = read()
    assert found.config == TUTORIAL
    assert found.notes == (
        f"line {line_of('accumulative_counts=accumulative_counts')}: optim_wrapper.dtype = 'float16': bfloat16 on a "
        "GPU, which needs no loss scale",
        f"line {line_of('checkpoint=dict')}: save_steps: 64 iterations there are 32 steps here, 2 micro batches each",
    )
    assert "tokenizer" not in found.stated
    assert {"env_cfg", "default_hooks.timer", "log_level"} <= set(found.not_needed)


def test_the_recipe_is_read_back_with_its_notes_at_the_head(read, tmp_path):
    found = read()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(found.recipe())
    assert load_recipe(recipe) == found.config
    head = found.recipe().partition("\n\n")[0]
    assert all(line.startswith("# ") for line in head.splitlines())
    assert all(note in head for note in found.notes)
    assert "timeout" not in found.recipe()


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("freeze_llm=True", "freeze_llm=False", {}),  # PEFT freezes what gets adapters
        ("max_norm=max_norm", "max_norm=0.5", {"max_norm": 0.5}),  # the parts count, not the names at the head
        ("lr = 3e-5", "lr = 4e-5", {"lr": 4e-5}),
        ("torch.optim import AdamW", "bitsandbytes.optim import PagedAdamW8bit as AdamW", {"optim_type": "AdamW8bit"}),
        ("lr=lr, ", "", {"lr": 1e-3}),  # torch's own default
        ("clip_grad=dict(max_norm=max_norm, error_if_nonfinite=False)", "clip_grad=None", {"max_norm": 0}),
        ("r=128, lora_alpha=256, lora_dropout=0.05, ", "", {"r": 8, "lora_alpha": 8, "lora_dropout": 0}),  # PEFT's own
        ("target_modules=None", "target_modules=['wqkv', 'feed_forward.w1'], use_dora=True",
         {"target_modules": ("q_proj", "k_proj", "v_proj", "gate_proj"), "use_dora": True}),
        ("type=LengthGroupedSampler", "type=DefaultSampler", {"group_by_length": False}),
        ("seed=None", "seed=7", {"seed": 7}),
        ("interval=save_steps", "interval=1", {"save_steps": 1}),
        ("save_total_limit = 3", "save_total_limit = -1", {"save_total_limit": 1_000_000}),
        ("freeze_visual_encoder=True,", "freeze_visual_encoder=True, quantization_llm=True,", {"quantization": "nf4"}),
        ("type=CosineAnnealingLR", "type='mmengine.optim.LinearLR'", {"lr_schedule": "linear"}),
        ("end=warmup_ratio * max_epochs,\n         conv", "end=0.5,\n         conv", {"warmup_ratio": 0.05}),
        ("max_epochs=max_epochs)", "max_iters=640)", {"max_steps": 320, "max_epochs": 1e6}),
        ("internlm2_chat", "phi3_chat", {"prompt_template": "phi3-chat"}),
    ],
)  # fmt: skip
def test_each_part_is_carried_over(read, old, new, differs):
    assert changed(read((old, new))) == differs


def test_what_trains(read):
    vision = "visual_encoder_lora=dict(type=LoraConfig, r=64, lora_alpha=256, lora_dropout=0.05, target_modules=[{}]),"
    every = "'attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'"
    both = read(("freeze_llm=True,", vision.format(every)))
    assert changed(both) == {"vision_model": "lora"}
    assert any("visual_encoder_lora.r = 64: all adapters share r, here 128" in note for note in both.notes)
    some = read(("freeze_llm=True,", vision.format("'attn.qkv'")))
    assert any("target_modules differ" in note for note in some.notes)
    full = read((MODEL, "model = dict(type=InternVL_V1_5, model_path=path)\n"))
    assert (full.config.language_model, full.config.vision_model, full.config.connector) == ("full", "full", "full")
    assert "r" not in full.stated


def test_several_data_sets(read):
    several = (
        ("data_path = data_root + 'sivqa_llava.json'", "data_path = [data_root + 'a.json', data_root + 'b.jsonl']"),
        ("image_folder = data_root\n", "image_folder = [data_root + 'a', None]\n"),
        ("data_paths=data_path", "repeat_times=[2, 0.5], data_paths=data_path"),
    )
    found = read(*several)
    assert found.config.data_path == (
        DataSource(path="a.json", image_folder="a", repeat_time=2),
        DataSource(path="b.jsonl", repeat_time=0.5),
    )
    assert any("random share" in note for note in found.notes)
    with pytest.raises(SettingsError, match="2 data_paths, 1 image_folders and 2 repeat_times"):
        read(several[0], several[2])


def test_paths_outside_of_the_root_stay_whole(read):
    found = read(("image_folder = data_root\n", "image_folder = '/pictures'\n"))
    assert (found.config.data_root, found.config.image_folder) == (".", "/pictures")
    assert found.config.data_path == (DataSource(path="/data/FoodieQA/sivqa_llava.json"),)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("hooks = [", "hooks = [dict(type=EvaluateChatHook, every_n_iters=5), ", "EvaluateChatHook: give val"),
        ("hooks = [", "hooks = [dict(type='mine.EMAHook'), ", "custom hook EMAHook"),
        ("visualizer = None", "evaluation_inputs = ['这是什么？']", "evaluation_inputs = ['这是什么？']"),
        ("visualizer = None", "val_dataloader = dict(batch_size=1)", "val_dataloader = dict(...)"),
        ("load_from = None", "load_from = 'iter_640.pth'", "load_from = 'iter_640.pth': XTuner's own checkpoints"),
        ("resume = False", "resume = True", "resume = True: a run of XTuner cannot be continued; --resume"),
        ("deterministic=False", "deterministic=True", "randomness.deterministic: there is no such switch"),
        ("freeze_llm=True", "quantization_vit=True", "model.quantization_vit: only the language model"),
        ("freeze_llm=True", "pretrained_pth='x.pth'", "model.pretrained_pth = 'x.pth'"),
        ("freeze_llm=True", "use_varlen_attn=True", "model.use_varlen_attn = True"),
        ("loss_scale=", "paramwise_cfg=dict(bias_lr_mult=2), loss_scale=", "optim_wrapper.paramwise_cfg = dict(...)"),
        ("eta_min=0.0", "eta_min=1e-6", "eta_min = 1e-06: the rate falls to 0 here"),
        ("from torch.optim import AdamW", "from torch.optim import SGD as AdamW", "optim_type = SGD: AdamW is used"),
        ("lr = 3e-5", "lr = float(os.environ['LR'])", "lr = float(os.environ['LR']) cannot be known without running"),
        ("internlm2_chat", "vicuna", "prompt_template = xtuner.utils.PROMPT_TEMPLATE.vicuna: the model's own"),
        ("save_optimizer=False, by_epoch=False", "by_epoch=True", "save_steps: every 64 epochs there"),
        ("visualizer = None", "if True:\n    lr = 1", "`if True:` was not followed"),
        ("visualizer = None", "model.update(freeze_llm=False)", "`model.update(freeze_llm=False)` was not followed"),
        ("visualizer = None", "work_dir = './work_dirs/x'", "work_dir = './work_dirs/x': the run gets a folder"),
    ],
)  # fmt: skip
def test_nothing_is_lost_in_silence(read, old, new, told):
    found = read((old, new))
    (note,) = [note for note in found.notes if told in note]
    assert note.startswith("line ")
    assert f"# {'  '}{note}" in found.recipe()
    assert len(found.notes) <= 4


def test_a_dumped_config_reads_the_same(read):
    """What mmengine writes beside its logs: one name after another, types as texts."""
    dumped = """
lr = 3e-05
model = dict(freeze_llm=True, freeze_visual_encoder=True, model_path='/models/InternVL2-2B',
    llm_lora=dict(lora_alpha=256, lora_dropout=0.05, r=128, target_modules=None, type='peft.LoraConfig'),
    type='xtuner.model.InternVL_V1_5')
optim_wrapper = dict(accumulative_counts=2, clip_grad=dict(max_norm=1), optimizer=dict(betas=(0.9, 0.999, ),
    lr=3e-05, type='torch.optim.AdamW', weight_decay=0.05), type='mmengine.optim.AmpOptimWrapper')
train_dataloader = dict(batch_size=4, num_workers=4, dataset=dict(
    data_paths='/data/FoodieQA/sivqa_llava.json', image_folders='/data/FoodieQA/', max_length=8192,
    template='xtuner.utils.PROMPT_TEMPLATE.internlm2_chat', type='xtuner.dataset.InternVL_V1_5_Dataset'))
data_root = '/data/FoodieQA/'
train_cfg = dict(max_epochs=10, type='xtuner.engine.runner.TrainLoop')
default_hooks = dict(checkpoint=dict(interval=64, max_keep_ckpts=3, by_epoch=False))
"""
    assert changed(read(text=dumped)) == {}


def test_nothing_is_run(read, tmp_path):
    canary = tmp_path / "ran"
    found = read(
        ("visualizer = None", f"open({str(canary)!r}, 'w').close()\n@print\ndef f(): pass"),
        ("max_length = 8192", f"max_length = __import__('os').system('touch {canary}')"),
        ("log_level = 'INFO'", "log_level = [x for x in range(10**9)]"),
    )
    assert not canary.exists()
    assert sum("was not followed" in note for note in found.notes) == 2


def test_a_note_cannot_add_a_line_to_the_recipe(read, tmp_path):
    found = read(("visualizer = None", "evil = 'x\\nlr: 9\\u2028lr: 9\\x85\\x00'\nother = dict(**{'a\\nlr: 9': 1})"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(found.recipe(), "utf-8")
    assert load_recipe(recipe) == TUTORIAL


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 3e-5", "lr = 'x'", f"config.py:{line_of('lr=lr')}: optim_wrapper.optimizer.lr is 'x': a number"),
        ("batch_size = 4", "batch_size = 2.5", "train_dataloader.batch_size is 2.5: a whole number is needed"),
        ("lr = 3e-5", "lr = -1", f"config.py:{line_of('lr=lr')}: lr=-1 is not allowed"),
        ("model = dict", "modell = dict", "config.py:1: it has no `model = dict(type=InternVL_V1_5, ...)`"),
        ("type=InternVL_V1_5,", "type=LLaVAModel,", "its model is LLaVAModel: only InternVL configs"),
        ("lr = 3e-5", "lr = = 3", f"config.py:{line_of('lr = 3e-5')}: this is not Python"),
        ("    llm_lora=dict(", "    quantization_llm=True, lora=dict(", None),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(read, old, new, message):
    if message is None:
        # Fully frozen and quantized: only the connector trains, and the adapters' own dict is told.
        assert any("model.lora = dict(...)" in note for note in read((old, new)).notes)
        return
    with pytest.raises(SettingsError) as caught:
        read((old, new))
    assert message in str(caught.value)


def test_a_file_that_is_no_config(tmp_path):
    path = tmp_path / "x.py"
    path.write_bytes(b"a = '\xff'")
    for name, message in (("x.py", "not UTF-8"), ("y.py", "there is no such config of XTuner")):
        with pytest.raises(SettingsError, match=message):
            read_xtuner(tmp_path / name)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("-3 % 2", 1),
        ("7 // 2", 3),
        ("a + 'b'", "xb"),
        ("f'{a}/{n}.json'", "x/3.json"),
        ("os.path.join(a, 'b')", "x/b"),
        ("osp.join(a, '/b')", "/b"),
        ("d['k']", 1),
        ("[1, 2][-1]", 2),
        ("torch.optim.AdamW", Reference("torch.optim.AdamW")),
        ("1 / 0", Unread("1 / 0")),
        ("10 ** 9", Unread("10 ** 9")),
        ("'a' * 9", Unread("'a' * 9")),
        ("f'{n:>999999}'", Unread("f'{n:>999999}'")),
        ("open(a)", Unread("open(a)")),
        ("a.upper()", Unread("a.upper()")),
        ("d['z']", Unread("d['z']")),
        ("n if n else 1", Unread("n if n else 1")),
        ("dict(**a)", Unread("dict(**a)")),
    ],
)
def test_expressions(expression, value):
    text = f"import os, torch\nimport os.path as osp\na = 'x'\nn: int = 3\nd = dict(k=1)\nv = {expression}"
    assert read_python(text, "x.py").names["v"] == Item(value, 6)


def test_names_that_a_skipped_statement_assigns_are_unknown():
    reading = read_python("a = 1\nb = 1\nfor a in [1]:\n    pass\nb += 1\nc, d = 1, 2", "x.py")
    assert isinstance(reading.names["a"].value, Unread)
    assert reading.names["b"] == Item(2, 5)
    assert [line for line, _ in reading.skipped] == [3, 6]


@pytest.mark.parametrize(
    "text",
    [
        "a = 'x'\n" + "a = a + a\n" * 100,
        "a = ['x']\n" + "a += a\n" * 100,
        "a = 9.0\n" + "a = a * a\n" * 100,
        "a = dict(x=1)\n" + "a = dict(x=a, y=a)\n" * 100,
        "a = " + "-" * 5000 + "1",
        "a = " + "(" * 5000 + ")" * 5000,
        "a = " + "1 + " * 20_000 + "1",
        "a = " + "9" * 10_000,
        "a = '\x00'",
    ],
    ids=["text", "list", "number", "dict", "signs", "brackets", "sum", "digits", "zero"],
)
@pytest.mark.timeout(20)
def test_files_made_to_exhaust_are_refused_or_bounded(text, read):
    with contextlib.suppress(SettingsError):
        assert read(text=f"{HEAD}{MODEL}{text}").config.r == 128
