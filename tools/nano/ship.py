"""Writes the trained model as it ships: bfloat16, in shards below 12 MiB.

    python -m tools.nano.ship --model out/nano/trimmed --out out/nano/ivl-nano

In: the folder that `trim.py` wrote. Out: the same model in the official layout, with its tokenizer.
"""

import argparse
import shutil
from pathlib import Path

import ivl
from ivl.model.weights import save_model

SHARD_BYTES = 12 * 2**20
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("out/nano/trimmed"))
    parser.add_argument("--out", type=Path, default=Path("out/nano/ivl-nano"))
    args = parser.parse_args()
    model = ivl.load_model(args.model, dtype="bfloat16")
    save_model(model, args.out, layout="official", max_shard_bytes=SHARD_BYTES)
    for name in TOKENIZER_FILES:
        shutil.copyfile(args.model / name, args.out / name)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
