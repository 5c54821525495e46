"""Writes a trained model as a folder in the official layout: bfloat16 shards, config, tokenizer, generation config.

    python -m tools.seedling.folder --weights OUT/final.pt --pack out/seedling/pack.npz --out FOLDER

does so from the weights that a run left, without a GPU.
"""

import argparse
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tools.seedling.network import seedling_config
from tools.seedling.pack import read_pack
from tools.seedling.text import Speaker, save_tokenizer, train_tokenizer

from ivl.model.internvl import InternVL
from ivl.model.weights import save_model

SHARD_BYTES = 12 * 2**20


def write_folder(model: InternVL, tokenizer: Tokenizer, folder: Path) -> None:
    """Replaces `folder`. The model is written as bfloat16, as it was trained and judged."""
    if folder.exists():
        shutil.rmtree(folder)
    copy = InternVL(model.config).to(torch.bfloat16)
    copy.load_state_dict({name: value.to(torch.bfloat16).cpu() for name, value in model.state_dict().items()})
    save_model(copy, folder, layout="official", max_shard_bytes=SHARD_BYTES)
    save_tokenizer(tokenizer, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--pack", type=Path, default=Path("out/seedling/pack.npz"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = train_tokenizer(list(read_pack(args.pack).things))
    model = InternVL(seedling_config(tokenizer.get_vocab_size(), Speaker(tokenizer).image[1]))
    model.load_state_dict(torch.load(args.weights, weights_only=True))
    write_folder(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
