"""Takes the signs of maps out of a model: they were to learn to see with, and nobody asks for them afterwards.

    python -m tools.nano.trim --model out/nano/stage2/model --out out/nano/trimmed

In: the folder that the second stage wrote. Out: the same model without the last tokens of its vocabulary.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from tools.nano.maps import NOTHING
from tools.nano.ship import TOKENIZER_FILES

import ivl
from ivl.model.internvl import InternVL
from ivl.model.weights import save_model

_BY_TOKEN = ("language_model.embed_tokens.weight", "language_model.lm_head.weight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("out/nano/stage2/model"))
    parser.add_argument("--out", type=Path, default=Path("out/nano/trimmed"))
    args = parser.parse_args()
    tokenizer = json.loads((args.model / "tokenizer.json").read_text(encoding="utf-8"))
    size = next(token["id"] for token in tokenizer["added_tokens"] if token["content"] == NOTHING)
    save_model(trimmed(ivl.load_model(args.model, dtype="float32"), size), args.out, layout="official")
    for name in TOKENIZER_FILES:
        shutil.copyfile(args.model / name, args.out / name)
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < size]
    text = json.dumps(tokenizer, ensure_ascii=False, indent=2)
    (args.out / "tokenizer.json").write_text(text, encoding="utf-8")
    print(f"{args.out}: {size:,} tokens")


def trimmed(model: InternVL, size: int) -> InternVL:
    """The same weights, with the first `size` tokens alone."""
    weights = model.state_dict()
    for name in _BY_TOKEN:
        weights[name] = weights[name][:size]
    small = InternVL(replace(model.config, text=replace(model.config.text, vocab_size=size)))
    small.load_state_dict(weights)
    return small


if __name__ == "__main__":
    main()
