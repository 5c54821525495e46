"""Make the goldens of the slow tokenizers: folders llama-* and qwen2-slow beside this file.

Run where transformers 4.37.2, the version of the InternVL2 releases, is installed:

    python3.11 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install "transformers==4.37.2" "tokenizers<0.19" "numpy<2" sentencepiece protobuf
    /tmp/oracle/bin/python tests/parity/tokenizers/make_slow_goldens.py

Each folder gets the files of a model repository and golden_tokens.json with the ids of its official class.
"""

import io
import json
import random
from pathlib import Path

import sentencepiece
from transformers import AutoTokenizer

HERE = Path(__file__).parent
WORDS = [
    *("the", "a", "cat", "dog", "image", "of", "and", "system", "user", "assistant", "what", "is", "in"),
    *("this", "food", "dish", "green", "red", "你", "好", "图", "片", "中", "的", "食物"),
]
IMAGE_TOKENS = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
PHI3_TOKENS = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]
TEXTS = [
    "",
    " ",
    "a",
    " a",
    "a ",
    "  two  spaces  ",
    "\n",
    "▁",
    "a▁b ▁c",
    "Hello world",
    "你好，图片中的食物是什么？",
    "emoji 🍜🥟 and tab\t",
    "<s>",
    "<s>a",
    " <s> a",
    "a</s>b",
    "a </s> b",
    "<unk>",
    "x<unk> y",
    "<|im_start|>system\nhello<|im_end|><|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nhi<|im_end|>",
    "<|system|>\nhello<|end|><|user|>\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nhi<|end|><|assistant|>\n",
    "<|user|>   spaces after",
    "before  <|user|>",
    "<ref>the dish</ref><box>[[1, 2, 3, 4]]</box>",
    "<<img>>",
    "<|im_start<|im_start|>|>",
]


def train_model() -> bytes:
    """A Llama-type model: BPE, bytes for what it lacks, no normalisation, "▁" before every text."""
    rng = random.Random(7)
    sentences = [" ".join(rng.choices(WORDS, k=12)) for _ in range(800)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        user_defined_symbols=["<|im_start|>", "<|im_end|>"],
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def entry(content: str, **flags: bool) -> dict:
    return {
        "content": content,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
        **flags,
    }


def llama_folders(model: bytes) -> dict[str, dict[str, object]]:
    """Name of the folder -> its JSON files."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    base = {str(i): entry(processor.id_to_piece(i)) for i in range(3)}
    im = {str(processor.piece_to_id(t)): entry(t) for t in ("<|im_start|>", "<|im_end|>")}
    size = processor.get_piece_size()
    images = {str(size + i): entry(t) for i, t in enumerate(IMAGE_TOKENS)}
    # Phi-3's own files: most chat tokens take the white space after them along.
    phi3 = {str(size + i): entry(t, rstrip=t != "<|endoftext|>") for i, t in enumerate(PHI3_TOKENS)}
    phi3_images = {str(size + len(phi3) + i): entry(t) for i, t in enumerate(IMAGE_TOKENS)}
    names = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    named_images = {"additional_special_tokens": [*(e["content"] for e in im.values()), *IMAGE_TOKENS]}
    return {
        "llama-legacy": {
            "tokenizer_config.json": {
                **names,
                "legacy": True,
                "add_bos_token": False,
                "added_tokens_decoder": base | im | images,
                **named_images,
            }
        },
        "llama-phi3": {
            "tokenizer_config.json": {
                **names,
                "eos_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>",
                "legacy": False,
                "added_tokens_decoder": base | phi3 | phi3_images,
                "additional_special_tokens": IMAGE_TOKENS,
            }
        },
        "llama-named": {
            "tokenizer_config.json": {
                **names,
                "legacy": False,
                "added_tokens_decoder": base | im | images,
                **named_images,
            }
        },
        "llama-old-files": {
            "tokenizer_config.json": {**names, "add_bos_token": True},
            "special_tokens_map.json": {
                "bos_token": {k: v for k, v in entry("<s>").items() if k != "special"},
                "eos_token": "<|im_end|>",
                "unk_token": "<unk>",
                "additional_special_tokens": ["<|im_start|>", "<|new|>", *IMAGE_TOKENS],
            },
            "added_tokens.json": {t: size + i for i, t in enumerate(IMAGE_TOKENS)},
        },
    }


def qwen2_folder() -> dict[str, object]:
    spec = json.loads((HERE / "qwen2" / "tokenizer.json").read_text())
    config = json.loads((HERE / "qwen2" / "tokenizer_config.json").read_text())
    merges = [m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]]
    return {
        "vocab.json": spec["model"]["vocab"],
        "merges.txt": "#version: 0.2\n" + "".join(f"{m}\n" for m in merges),
        "tokenizer_config.json": {**config, "tokenizer_class": "Qwen2Tokenizer"},
    }


def samples(tokenizer: object) -> list[dict[str, object]]:
    rng = random.Random(11)
    added = list(tokenizer.added_tokens_encoder)
    alphabet = [*added, *WORDS, " ", "  ", "\n", "\t", "▁", "e\u0301", "🍜", "글", "<", "|", "'s", "123", "!"]
    texts = TEXTS + ["".join(rng.choices(alphabet, k=rng.randint(1, 20))) for _ in range(60)]
    return [
        {
            "text": text,
            "ids": tokenizer(text, add_special_tokens=False).input_ids,
            "ids_bos": tokenizer(text).input_ids,
        }
        for text in texts
    ]


def main() -> None:
    model = train_model()
    folders = {**llama_folders(model), "qwen2-slow": qwen2_folder()}
    for name, files in folders.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        if name.startswith("llama"):
            (folder / "tokenizer.model").write_bytes(model)
        for file, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (folder / file).write_text(text)
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=False)
        golden = {
            "class": type(tokenizer).__name__,
            "vocab_size": len(tokenizer),
            "samples": samples(tokenizer),
        }
        (folder / "golden_tokens.json").write_text(json.dumps(golden, ensure_ascii=False))
        print(name, golden["class"], golden["vocab_size"], len(golden["samples"]))


if __name__ == "__main__":
    main()
