"""transformers reads what was exported and gives its model what ivl gives ours: ids, pixels, answers."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer, InternVLProcessor

import ivl
from ivl.errors import CheckpointError, ConfigError, IvlError, TokenizerError
from ivl.export.tokenizer_export import PROBES, prompt_prefix, write_tokenizer
from ivl.export.tokenizer_export_sentencepiece import convert_sentencepiece
from ivl.export.transformers_files import write_transformers_files
from ivl.model.config import InternVLConfig
from ivl.model.config_io import load_config
from ivl.model.weights import load_model, save_model
from ivl.processing.segments import Segment
from ivl.processing.template import TEMPLATES, get_template
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.zoo import nano_folder, sample_pictures
from parity import tiny
from parity.prompts import TOKENIZERS, internvl2_2b_folder, tiny_processor

IMAGES = Path(tiny.__file__).parent / "preprocess" / "images"
SYSTEM = {"role": "system", "content": "You are\nterse."}


class WithoutVideo(InternVLProcessor):
    """transformers' processor where torchvision, and so its reader of videos, is not installed."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)


def read_processor(folder: Path) -> WithoutVideo:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    images = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    said = json.loads((folder / "processor_config.json").read_text("utf-8"))
    assert said["processor_class"] == "InternVLProcessor"
    length = said["image_seq_length"]
    template = (folder / "chat_template.jinja").read_text("utf-8")
    return WithoutVideo(images, tokenizer, None, image_seq_length=length, chat_template=template)


def image(name: str) -> dict[str, Any]:
    return {"type": "image", "image": Image.open(IMAGES / name).convert("RGB")}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def conversation() -> list[dict[str, Any]]:
    """Three pictures of one tile and of many, in two turns."""
    return [
        {"role": "user", "content": [image("rgb_640x480.jpg"), text("What is this?  两个空格 🍜")]},
        {"role": "assistant", "content": "A dish,\nI think. 是的"},
        {
            "role": "user",
            "content": [text("And these: "), image("rgb_448x448.png"), image("rgb_1x2000.png"), text("?")],
        },
    ]


def exported(source: Path, folder: Path, config: InternVLConfig | None = None) -> Path:
    """Tokenizer, processor and config.json of a model, without weights."""
    folder.mkdir()
    write_transformers_files(source, config or load_config(source), folder)
    return folder


def made_by(folder: Path, messages: list[dict[str, Any]]) -> Any:
    """What transformers' processor makes of a prompt."""
    return read_processor(folder).apply_chat_template(
        messages, tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
    )


@pytest.mark.parametrize("name", tiny.NAMES)
def test_every_family_gets_the_same_ids_and_pixels(
    name: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    out = exported(tiny_folder(name), tmp_path / "hf")
    inputs = ivl.load_processor(tiny_folder(name))(conversation())
    theirs = made_by(out, conversation())
    assert theirs["input_ids"][0].tolist() == inputs.input_ids.tolist()
    assert torch.equal(theirs["pixel_values"], inputs.pixel_values)
    shutil.copyfile(tiny_folder(name) / "config.json", out / "config.json")
    again = ivl.load_processor(out)(conversation())
    assert again.input_ids.tolist() == inputs.input_ids.tolist(), "ivl reads the folder as well"


@pytest.mark.parametrize(
    "name",
    [
        "tiny-phi3",
        *(pytest.param(name, marks=pytest.mark.slow) for name in tiny.NAMES if name != "tiny-phi3"),
        pytest.param("the package's own", marks=pytest.mark.slow),
    ],
)
def test_answers_are_the_same(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    source, out = tiny_folder(name) if name in tiny.NAMES else nano_folder(), tmp_path / "hf"
    ours = load_model(source)
    save_model(ours, out, layout="transformers")
    write_transformers_files(source, ours.config, out)
    picture = Image.open(sample_pictures()[0]).convert("RGB").resize((300, 300))
    messages = [{"role": "user", "content": [{"type": "image", "image": picture}, text("What is this?")]}]
    messages = conversation() if name in tiny.NAMES else messages
    processor = ivl.load_processor(source)
    inputs, theirs = processor(messages), made_by(out, messages)
    assert torch.equal(theirs["pixel_values"], inputs.pixel_values)
    model = AutoModelForImageTextToText.from_pretrained(out, dtype=torch.float32, local_files_only=True).eval()
    stops = processor.serving_stop_token_ids
    assert set(model.generation_config.eos_token_id) == stops
    answer = model.generate(**theirs, max_new_tokens=8)[0, len(inputs.input_ids) :].tolist()
    wanted = ours.generate_greedy(inputs.input_ids, inputs.pixel_values, 8, tuple(stops))
    assert answer == wanted
    assert len(set(wanted)) > 1


CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one text": [{"role": "user", "content": "hi"}],
    "system": [SYSTEM, {"role": "user", "content": [text("hi")]}],
    "empty system": [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}],
    "texts joined": [{"role": "user", "content": [text("a"), text("b")]}],
    "empty turns": [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "hi "},
    ],
    "marked": [
        {"role": "user", "content": [image("rgb_57x33.png"), image("rgb_448x448.png"), text("a<image>b\n<image>")]}
    ],
    "LMDeploy's mark": [{"role": "user", "content": [image("rgb_57x33.png"), text("<IMAGE_TOKEN>\nwhat")]}],
    "quotes": [{"role": "user", "content": "{{ 1 }} {% x %} \\n 'a' \"b\" <image_x> é\r\n"}],
    "image alone": [{"role": "user", "content": [image("rgb_57x33.png")]}],
}


@pytest.fixture(scope="module")
def template_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """Template -> our processor, and transformers' of what was exported."""
    found = {}
    for name in TEMPLATES:
        kind = "phi3" if name == "phi3-chat" else "internlm2" if name == "internlm2-chat" else "qwen2"
        ours = tiny_processor(name, kind)
        folder = exported(TOKENIZERS / kind, tmp_path_factory.mktemp(name) / "hf", ours.config)
        found[name] = (ours, read_processor(folder))
    return found


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("case", CONVERSATIONS)
def test_chat_template_is_ours(name: str, case: str, template_folders: dict[str, tuple[Any, Any]]) -> None:
    ours, theirs = template_folders[name]
    messages = CONVERSATIONS[case]
    prefix = theirs.tokenizer.decode(prompt_prefix(ours.tokenizer, ours.template))
    rendered = theirs.apply_chat_template(messages, add_generation_prompt=True)
    pictures = [p["image"] for m in messages if isinstance(m["content"], list) for p in m["content"] if "image" in p]
    counts = iter([ours.count_tiles(*picture.size, 12) * ours.config.tokens_per_tile for picture in pictures])
    while "<IMG_CONTEXT>" in rendered.replace("<img>", ""):
        head, mark, tail = rendered.partition("<IMG_CONTEXT>")
        rendered = f"{head}<img>{'#' * next(counts)}</img>{tail}" if mark else rendered
    assert rendered.replace("#", "<IMG_CONTEXT>") == prefix + ours.render(messages)
    ids = theirs.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=True)
    assert torch.as_tensor(ids["input_ids"])[0].tolist() == ours(messages).input_ids.tolist()


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "user", "content": [text("a<image>b")]}], "write <image> once for each image"),
        ([{"role": "tool", "content": "x"}], "one system message at the front"),
        ([{"role": "user", "content": "x"}, SYSTEM], "one system message at the front"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "a text, an image or a video"),
    ],
)
def test_chat_template_refuses_what_ivl_refuses(
    messages: list[dict[str, Any]], said: str, template_folders: dict[str, tuple[Any, Any]]
) -> None:
    ours, theirs = template_folders["internvl2_5"]
    with pytest.raises(Exception, match=said):
        theirs.tokenizer.apply_chat_template(messages, chat_template=theirs.chat_template, tokenize=False)
    with pytest.raises(IvlError):
        ours(messages)


def test_video_frames_stand_on_numbered_lines(template_folders: dict[str, tuple[Any, Any]]) -> None:
    """transformers' processor makes "Frame1: ...\\nFrame2: ..." of the mark; the template ends the last line."""
    _, theirs = template_folders["internvl2_5"]
    for content in ([{"type": "video"}, text("what?")], [{"type": "video"}, text("<video>\nwhat?")]):
        messages = [{"role": "user", "content": content}]
        rendered = theirs.tokenizer.apply_chat_template(messages, chat_template=theirs.chat_template, tokenize=False)
        assert "<|im_start|>user\n<video>\nwhat?<|im_end|>" in rendered


KINDS = {
    "llama-phi3": "phi3-chat", "llama-named": "Hermes-2", "llama-legacy": "Hermes-2", "llama-old-files": "Hermes-2",
    "qwen2-slow": "Hermes-2", "yi": "Hermes-2", "internlm2": "internlm2-chat", "qwen2": "internvl2_5",
}  # fmt: skip


def assert_same_ids(source: Path, template: str, out: Path, texts: tuple[str, ...]) -> None:
    """Prompts with these texts: the source by ivl, the written folder by transformers and by ivl."""
    kind = get_template(template)
    out.mkdir()
    ours = write_tokenizer(source, template, 1000, out)
    theirs, again = AutoTokenizer.from_pretrained(out), load_tokenizer(out, kind.control_tokens)
    before = theirs.decode(prompt_prefix(ours, kind))
    user = kind.openings.user
    for words in texts:
        segments = [Segment(user.control, "control"), Segment(user.text + words), Segment(kind.end, "control")]
        wanted = ours.encode_segments(segments).ids
        ids = theirs(before + user.control + user.text + words + kind.end, add_special_tokens=False)["input_ids"]
        assert ids == wanted, words
        assert again.encode_segments(segments).ids == wanted, words
    assert len(theirs) == ours.vocab_size + 1, "only <video> is new, and never reaches the model"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tokenizer_gives_the_same_ids(kind: str, tmp_path: Path) -> None:
    runs = tuple(f"x{letter * count} {letter}" for letter in "a- =0是\n" for count in (1, 2, 3, 5, 8, 17))
    assert_same_ids(TOKENIZERS / kind, KINDS[kind], tmp_path / "out", (*PROBES, *runs, "x\r\n y"))


@pytest.mark.slow
def test_internlm2s_real_tokenizer_gives_the_same_ids(tmp_path: Path) -> None:
    """92,553 tokens from tokenizer.model, on thousands of texts that were made to tell tokenizers apart."""
    import random

    draw = random.Random(1)
    words = list(
        "aabbcc  \n\t.,-=_*#/\\(){}<>01239ABZzéßñ你好图片中的食物은한국어हि🍜🥟👩‍👩‍👧▁ĠＡａ\u3000\u00a0\u200b\x00\x01"
    )
    words += ["the", "ing", " the", "----", "    ", "......", "是的", "可以", "CBS", "<s", "[UNUSED_TOKEN_1]"]
    mixed = ("".join(draw.choices(words, k=draw.randint(1, 40))) for _ in range(3000))
    blocks = [(1, 0x2FFF), (0x4E00, 0x9FFF), (0x20, 0x7E), (0x1F300, 0x1FAFF)]
    rare = ("".join(chr(draw.randint(*draw.choice(blocks))) for _ in range(draw.randint(1, 30))) for _ in range(2000))
    runs = [pre + c * n + "the " for c in "a-= *#._0是e\n!~/xo" for n in range(1, 80, 3) for pre in ("", "x", " ")]
    texts = tuple(each for each in (*mixed, *rare, *runs) if "<s>" not in each)
    source = internvl2_2b_folder(tmp_path / "InternVL2-2B")
    assert_same_ids(source, "internlm2-chat", tmp_path / "out", (*PROBES, *texts))


def test_bare_texts_get_their_begin_token(tmp_path: Path) -> None:
    for kind in ("llama-legacy", "internlm2", "llama-old-files"):
        out = tmp_path / kind
        out.mkdir()
        ours = write_tokenizer(TOKENIZERS / kind, KINDS[kind], 1000, out)
        theirs = AutoTokenizer.from_pretrained(out)
        for words in ("hello", " a", "a <img>b", "<ref>x", ""):
            assert theirs(words)["input_ids"] == ours.encode(words, add_bos=True), (kind, words)


def test_a_complete_folder_is_copied_byte_by_byte(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    first = exported(tiny_folder("tiny-qwen2"), tmp_path / "first")
    (first / "chat_template.jinja").write_text("theirs", "utf-8")
    (first / "modeling.py").write_text("raise SystemExit('run')", "utf-8")
    config = load_config(tiny_folder("tiny-qwen2"))
    second = exported(first, tmp_path / "second", config)
    names = sorted(path.name for path in first.iterdir() if path.suffix != ".py")
    assert sorted(path.name for path in second.iterdir()) == names, "code is no file of these"
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    third = exported(first, tmp_path / "third", replace(config, max_tiles=4))
    assert json.loads((third / "processor_config.json").read_text("utf-8"))["image_processor"]["max_patches"] == 4


def test_one_tile_a_picture(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    config = replace(load_config(tiny_folder("tiny-qwen2")), dynamic_image_size=False, use_thumbnail=False)
    theirs = read_processor(exported(tiny_folder("tiny-qwen2"), tmp_path / "hf", config))
    messages = [{"role": "user", "content": [image("rgb_640x480.jpg"), text("?")]}]
    made = theirs.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    assert len(made["pixel_values"]) == 1
    again = exported(tmp_path / "hf", tmp_path / "again", config)
    assert (again / "processor_config.json").read_bytes() == (tmp_path / "hf" / "processor_config.json").read_bytes()


def test_what_cannot_be_exported_is_refused_in_one_line(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    source = tiny_folder("tiny-qwen2")
    config = load_config(source)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ConfigError, match="use_thumbnail=False is not possible"):
        write_transformers_files(source, replace(config, use_thumbnail=False), out)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TokenizerError, match="no tokenizer in"):
        write_transformers_files(empty, config, out)
    bad = Path(shutil.copytree(source, tmp_path / "bad"))
    (bad / "generation_config.json").write_text('{"eos_token_id": ["x"]}')
    with pytest.raises(CheckpointError, match="eos_token_id='x' is no token id"):
        write_transformers_files(bad, config, out)


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "generation_config.json"])
def test_links_out_of_the_folder_and_pipes_are_refused(
    name: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    config = load_config(tiny_folder("tiny-qwen2"))
    (tmp_path / "secret").write_text("{}")
    out = tmp_path / "out"
    out.mkdir()
    for make, said in ((lambda path: path.symlink_to(tmp_path / "secret"), "outside"), (os.mkfifo, "regular file")):
        source = Path(shutil.copytree(tiny_folder("tiny-qwen2"), tmp_path / said.replace(" ", "-")))
        (source / name).unlink(missing_ok=True)
        make(source / name)
        with pytest.raises(CheckpointError, match=said):
            write_transformers_files(source, config, out)
        assert not list(out.iterdir())


def test_sentencepiece_models_that_cannot_be_expressed() -> None:
    model = (TOKENIZERS / "llama-legacy" / "tokenizer.model").read_bytes()
    # Protobuf merges a field that comes again.
    unigram, collapsing = model + b"\x12\x02\x18\x01", model + b"\x1a\x02\x20\x01"
    for data, said in (
        (unigram, "not of SentencePiece's kind bpe"),
        (collapsing, "changes its text"),
        (model[:99], ""),
    ):
        with pytest.raises(TokenizerError, match=said or "is damaged: fetch the file again"):
            convert_sentencepiece(data, "each", "tokenizer.model")


def test_an_id_that_the_library_would_not_give_is_kept(tmp_path: Path) -> None:
    """A gap before an added token's id: the library counts on from the vocabulary's end."""
    source = Path(shutil.copytree(TOKENIZERS / "llama-old-files", tmp_path / "source"))
    table = json.loads((source / "added_tokens.json").read_text("utf-8"))
    highest = max(table, key=table.__getitem__)
    table[highest] += 40
    (source / "added_tokens.json").write_text(json.dumps(table), "utf-8")
    out = tmp_path / "out"
    out.mkdir()
    write_tokenizer(source, "Hermes-2", 1000, out)
    assert AutoTokenizer.from_pretrained(out).convert_tokens_to_ids(highest) == table[highest]
