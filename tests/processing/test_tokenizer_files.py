"""Folders: which file is read, and every damaged one is told in one line, in bounded time."""

import json
import random
import shutil
import subprocess
import sys
import time

import pytest

from ivl.errors import TokenizerError
from ivl.processing.codec import guarded
from ivl.processing.tokenizer_files import load_tokenizer
from parity.prompts import TOKENIZERS

CONFIG = "tokenizer_config.json"


@pytest.fixture
def folder(tmp_path):
    """A writable copy of a tokenizer's folder."""

    def copy(name):
        target = tmp_path / name
        shutil.copytree(TOKENIZERS / name, target)
        return target

    return copy


def edit(path, change):
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value), "utf-8")


def refused(folder, error):
    with pytest.raises(TokenizerError, match=error) as caught:
        load_tokenizer(folder).encode("aaaa hello 中")
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    assert len(message) < 700
    return message


# Which file wins


def test_slow_files_win_unless_the_class_is_a_fast_one(folder):
    path = folder("qwen2-slow")
    slow = load_tokenizer(path).encode("e\u0301")
    shutil.copy(TOKENIZERS / "qwen2" / "tokenizer.json", path)
    fast = load_tokenizer(TOKENIZERS / "qwen2").encode("e\u0301")
    assert slow != fast
    assert load_tokenizer(path).encode("e\u0301") == slow
    edit(path / CONFIG, lambda config: config.update(tokenizer_class="Qwen2TokenizerFast"))
    assert load_tokenizer(path).encode("e\u0301") == fast


def test_tokenizer_json_is_read_where_the_slow_files_are_missing(folder):
    path = folder("internlm2")
    edit(path / CONFIG, lambda config: config.update(tokenizer_class="InternLM2Tokenizer"))
    assert load_tokenizer(path).encode("Hello", add_bos=True)[0] == 1
    (path / CONFIG).unlink()
    assert load_tokenizer(path).encode("Hello", add_bos=True)[0] == 1


def test_a_fast_class_without_tokenizer_json_reads_the_slow_file(folder):
    path = folder("llama-legacy")
    expected = load_tokenizer(path).encode("a cat</s>")
    edit(path / CONFIG, lambda config: config.update(tokenizer_class="LlamaTokenizerFast"))
    assert load_tokenizer(path).encode("a cat</s>") == expected


def test_only_the_llama_class_has_a_newer_way(folder):
    path = folder("llama-named")
    edit(path / CONFIG, lambda config: config.update(tokenizer_class="InternLM2Tokenizer"))
    assert load_tokenizer(path).encode("a</s>a") == load_tokenizer(TOKENIZERS / "llama-legacy").encode("a</s>a")


@pytest.mark.parametrize(("wanted", "bos"), [(True, 1), (False, None)])
def test_add_bos_token_is_kept(folder, wanted, bos):
    path = folder("llama-named")
    edit(path / CONFIG, lambda config: config.update(add_bos_token=wanted))
    assert load_tokenizer(path).bos_id == bos
    path = folder("internlm2")
    edit(
        path / CONFIG,
        lambda config: config.update(add_bos_token=wanted, tokenizer_class="LlamaTokenizerFast"),
    )
    assert load_tokenizer(path).bos_id == bos


def test_settings_may_list_tokens_that_tokenizer_json_lacks(folder):
    path = folder("qwen2")
    new = {"content": "<new>", "special": True}
    edit(path / CONFIG, lambda config: config["added_tokens_decoder"].update({"308": new}))
    assert load_tokenizer(path).encode("a<new>")[-1] == 308


# Missing and broken files


def test_no_folder_and_no_files(tmp_path):
    refused(tmp_path / "nowhere", "there is no folder .*nowhere")
    refused(
        tmp_path,
        "no tokenizer in .*neither tokenizer.json nor tokenizer.model nor vocab.json with merges.txt",
    )
    (tmp_path / "vocab.json").write_text("{}")
    refused(tmp_path, "no tokenizer in")


@pytest.mark.parametrize("file", ["tokenizer.json", CONFIG, "special_tokens_map.json"])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no valid JSON"),
        ("{", "no valid JSON"),
        ("\xff\xfe", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("[]", "holds a list: an object is needed"),
        ("null", "holds a NoneType"),
        ("3", "holds a int"),
    ],
)
def test_broken_json_names_the_file(folder, file, text, error):
    path = folder("internlm2")
    (path / file).write_bytes(text.encode("latin-1"))
    message = refused(path, error)
    assert file in message


def test_a_file_that_is_too_large_is_not_read(folder):
    path = folder("internlm2")
    with (path / "tokenizer.json").open("wb") as file:
        file.truncate(65 * 2**20)
    refused(path, "tokenizer.json' has 68157440 bytes: at most 67108864 are read")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x0a\xff\xff\xff\xff\x0f", b"\x00" * 1000, b"{}"])
def test_a_garbage_sentencepiece_model_is_refused(folder, content, capfd):
    path = folder("llama-legacy")
    (path / "tokenizer.model").write_bytes(content)
    refused(path, "reading tokenizer.model failed")
    assert capfd.readouterr().err == ""


def test_half_a_sentencepiece_model_is_refused(folder):
    path = folder("llama-legacy")
    model = path / "tokenizer.model"
    model.write_bytes(model.read_bytes()[:-200])
    refused(path, "reading tokenizer.model failed")


def field(number, data):
    """A length-delimited field of protobuf."""
    head = (number << 3 | 2).to_bytes(1, "little")
    size = len(data)
    varint = b""
    while size > 127:
        varint, size = varint + bytes([size % 128 + 128]), size // 128
    return head + varint + bytes([size]) + data


def piece(text, kind=1):
    return field(1, field(1, text) + b"\x15\x00\x00\x00\x00" + bytes([0x18, kind]))


HEAD = piece(b"<unk>", 2) + piece(b"<s>", 3) + piece(b"</s>", 3)


CRAFTED_MODELS = {
    "a long piece": HEAD + piece(b"a" * 4_000_000),
    "a long symbol": HEAD + piece(b"a" * 200_000, 4),
    "a piece twice": HEAD + piece(b"a") + piece(b"a"),
    "a random character map": HEAD + piece(b"a") + field(3, field(2, b"\x00\x04\x00\x00" + bytes(range(256)) * 4)),
    "a character map that is too short": HEAD + piece(b"a") + field(3, field(2, b"\xff\xff\xff\x7f")),
    "no unknown token": piece(b"a"),
}


def test_crafted_sentencepiece_models_raise_and_do_not_crash(folder):
    # In a process of its own: a crash would take the tests along.
    root = folder("llama-legacy")
    for number, model in enumerate(CRAFTED_MODELS.values()):
        shutil.copytree(TOKENIZERS / "llama-legacy", root / str(number))
        (root / str(number) / "tokenizer.model").write_bytes(model)
    code = (
        "import sys; from ivl.errors import TokenizerError\n"
        "from ivl.processing.tokenizer_files import load_tokenizer\n"
        "for path in sys.argv[1:]:\n"
        "    try: load_tokenizer(path).encode('aaaa')\n"
        "    except TokenizerError: print('refused')"
    )
    paths = [str(root / str(number)) for number in range(len(CRAFTED_MODELS))]
    run = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "refused\n" * len(CRAFTED_MODELS)), run.stderr


# Crafted tokenizer.json


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


CRAFTED = {
    "a template without its token": (
        lambda spec: spec["post_processor"].update(special_tokens={}),
        r"post_processor.special_tokens\['<s>'\] is a NoneType",
    ),
    "a template of text": (lambda spec: spec["post_processor"].update(single="x"), "single is a str"),
    "steps of length 0": (
        lambda spec: spec.update(pre_tokenizer={"type": "FixedLength", "length": 0}),
        "pre_tokenizer 'FixedLength' is not supported",
    ),
    "a broken character map": (
        lambda spec: spec.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "normalizer 'Precompiled' is not supported",
    ),
    "nested quantifiers": (
        lambda spec: spec.update(pre_tokenizer=split("(a+)+$")),
        r"splits by the regular expression '\(a\+\)\+\$', which is none of the 4 known ones",
    ),
    "nested quantifiers in a sequence": (
        lambda spec: spec.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [split("(a*)*b")]}),
        "splits by the regular expression",
    ),
    "nested quantifiers in a normalizer": (
        lambda spec: spec.update(normalizer={"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": ""}),
        "normalizer splits by the regular expression",
    ),
    "another model": (
        lambda spec: spec["model"].update(type="Unigram"),
        "model.type='Unigram' is not supported: only 'BPE' is",
    ),
    "no model": (lambda spec: spec.update(model=None), "model is a NoneType: an object is needed"),
    "an empty vocabulary": (lambda spec: spec["model"].update(vocab={}), "model.vocab is empty"),
    "a vocabulary list": (lambda spec: spec["model"].update(vocab=[]), "model.vocab is a list"),
    "a negative id": (
        lambda spec: spec["model"]["vocab"].update(zz=-1),
        r"model.vocab\['zz'\] has the token id -1",
    ),
    "a huge id": (lambda spec: spec["model"]["vocab"].update(zz=2**31), "has the token id 2147483648"),
    "an id of text": (lambda spec: spec["model"]["vocab"].update(zz="1"), "has the token id '1'"),
    "an id twice": (
        lambda spec: spec["model"]["vocab"].update(zz=5),
        "gives 300 pieces only 299 ids",
    ),
    "a merge of unknown pieces": (
        lambda spec: spec["model"]["merges"].append(["zz", "yy"]),
        "building the tokenizer failed",
    ),
    "a long merge": (
        lambda spec: spec["model"]["merges"].append(["Hello" * 5, "x"]),
        "building the tokenizer failed",
    ),
    "merges of numbers": (
        lambda spec: spec["model"].update(merges=[3]),
        "merges hold '3': two pieces are needed",
    ),
    "no merges": (lambda spec: spec["model"].pop("merges"), "merges is a NoneType: a list is needed"),
    "added tokens of text": (
        lambda spec: spec.update(added_tokens=["x"]),
        "added_tokens must be a list of objects",
    ),
    "an added token without text": (
        lambda spec: spec["added_tokens"][0].pop("content"),
        "has an entry without a 'content' text for id 0",
    ),
    "an empty added token": (
        lambda spec: spec["added_tokens"][0].update(content=""),
        "the added token of id 0 has 0 characters",
    ),
    "a long added token": (
        lambda spec: spec["added_tokens"][0].update(content="x" * 10**6),
        "the added token of id 0 has 1000000 characters",
    ),
    "an added id out of range": (
        lambda spec: spec["added_tokens"][0].update(id=2**40),
        "added_tokens has the token id 1099511627776",
    ),
    "an added id that is missing": (lambda spec: spec["added_tokens"][0].pop("id"), "has the token id None"),
    "two added tokens of one id": (
        lambda spec: spec["added_tokens"][1].update(id=0),
        "the added tokens '<unk>' and '<s>' have the same id 0",
    ),
    "one added token of two ids": (
        lambda spec: spec["added_tokens"].append({**spec["added_tokens"][1], "id": 400}),
        "the added token '<s>' has two ids, 1 and 400",
    ),
    "many added tokens": (
        lambda spec: spec.update(added_tokens=[{"id": i, "content": f"<{i}>"} for i in range(30_000)]),
        "has 30014 added tokens: at most 20000",
    ),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_tokenizer_json_is_refused(folder, name, capfd):
    change, error = CRAFTED[name]
    path = folder("internlm2")
    edit(path / "tokenizer.json", change)
    start = time.perf_counter()
    refused(path, error)
    assert time.perf_counter() - start < 10
    # A panic of the library would have been printed there.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda config: config.update(added_tokens_decoder=[]), "added_tokens_decoder is a list"),
        (lambda config: config.update(added_tokens_decoder={"x": {}}), "has the token id 'x'"),
        (lambda config: config.update(added_tokens_decoder={"-1": {}}), "has the token id '-1'"),
        (
            lambda config: config.update(added_tokens_decoder={"9" * 5000: {"content": "x"}}),
            "has the token id 9999",
        ),
        (lambda config: config.update(added_tokens_decoder={"1": "x"}), "without a 'content' text for id 1"),
        (lambda config: config.update(additional_special_tokens="x"), "additional_special_tokens is a str"),
    ],
)
def test_crafted_settings_are_refused(folder, change, error):
    path = folder("llama-legacy")
    edit(path / CONFIG, change)
    refused(path, error)


def test_crafted_older_files_are_refused(folder):
    path = folder("llama-old-files")
    (path / "added_tokens.json").write_text('{"<a>": 500, "<b>": 500}')
    refused(path, "the added tokens '<a>' and '<b>' have the same id 500")
    (path / "added_tokens.json").write_text('{"<a>": "500"}')
    refused(path, "added_tokens.json has the token id '500'")


def test_a_broken_merges_file_is_refused(folder):
    path = folder("qwen2-slow")
    (path / "merges.txt").write_bytes(b"\xff\xfe\x00")
    refused(path, "merges.txt' is no UTF-8 text")
    (path / "merges.txt").write_text("a b c\n")
    refused(path, "merges hold .*: two pieces are needed")
    (path / "merges.txt").write_text("zzz yyy\n")
    refused(path, "building the tokenizer failed")
    edit(path / CONFIG, lambda config: config.update(tokenizer_class="GPT2Tokenizer"))
    refused(path, "tokenizer_class='GPT2Tokenizer' with vocab.json and merges.txt is not supported")


def test_dropout_of_a_checkpoint_is_not_used(folder):
    path = folder("internlm2")
    expected = load_tokenizer(path).encode("the dog is there")
    edit(path / "tokenizer.json", lambda spec: spec["model"].update(dropout=0.9))
    assert load_tokenizer(path).encode("the dog is there") == expected


def test_truncation_and_padding_of_a_checkpoint_are_not_used(folder):
    path = folder("internlm2")
    cut = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 5}
    edit(path / "tokenizer.json", lambda spec: spec.update(truncation=cut))
    assert len(load_tokenizer(path).encode("the dog is there")) > 1


def test_a_panic_becomes_an_error_and_an_interrupt_stays():
    class PanicException(BaseException):
        pass

    def panic():
        raise PanicException("chunk size must be non-zero\n   at 0x7f")

    with pytest.raises(TokenizerError, match=r"the file makes the parser panic: chunk size must be non-zero$"):
        guarded("encoding", panic)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded("encoding", interrupt)


def test_no_code_of_a_folder_runs(folder):
    path = folder("llama-legacy")
    (path / "tokenization_evil.py").write_text("raise SystemExit('ran')")
    edit(
        path / CONFIG,
        lambda config: config.update(auto_map={"AutoTokenizer": ["tokenization_evil.EvilTokenizer", None]}),
    )
    load_tokenizer(path)


JUNK = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    "x",
    "\ud800",
    [],
    [[]],
    [None],
    {},
    {"type": []},
    {"type": "Sequence"},
]


def mutate(value, rng):
    """The JSON value with one random part of it replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = rng.randrange(len(value))
        return [*value[:index], mutate(value[index], rng), *value[index + rng.randrange(2) :]]
    return rng.choice(JUNK)


@pytest.mark.parametrize("name", ["internlm2", "phi3", "qwen2-slow", "llama-phi3", "llama-old-files"])
def test_whatever_is_wrong_in_a_file_is_a_tokenizer_error_or_harmless(folder, name):
    path = folder(name)
    files = [file for file in path.glob("*.json") if file.name != "golden_tokens.json"]
    originals = {file: json.loads(file.read_text("utf-8")) for file in files}
    rng = random.Random(name)
    refusals = []
    for _ in range(120):
        file = rng.choice(files)
        file.write_text(json.dumps(mutate(originals[file], rng)), "utf-8")
        try:
            tokenizer = load_tokenizer(path)
            tokenizer.decode(tokenizer.encode("a <s>dog</s> 中🍜", add_bos=True))
        except TokenizerError as error:
            refusals.append(str(error))
        file.write_text(json.dumps(originals[file]), "utf-8")
    assert len(refusals) > 10
    assert all(len(message) < 700 and "\n" not in message for message in refusals)
