"""How a published folder is used, by what can read it: only commands of engines whose form it has.

In: its name, its kind, its base. Out: parts of Markdown. Which engine reads which layout: docs/serving-elsewhere.md.
"""

import json
import shlex
from collections.abc import Callable, Iterator

from ivl.export.card_base import Base, Kind
from ivl.export.card_private import fenced

_TRANSFORMERS = """\
from transformers import AutoModelForImageTextToText, AutoProcessor

name = {name}
processor = AutoProcessor.from_pretrained(name)
model = AutoModelForImageTextToText.from_pretrained(name, dtype="auto")
content = [{{"type": "image", "url": "picture.jpg"}}, {{"type": "text", "text": "What is this?"}}]
messages = [{{"role": "user", "content": content}}]
inputs = processor.apply_chat_template(
    messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
).to(model.device, model.dtype)
ids = model.generate(**inputs, max_new_tokens=128)
print(processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))"""
_PEFT = """\
from peft import PeftModel
from transformers import AutoModelForImageTextToText

model = AutoModelForImageTextToText.from_pretrained("OUT", dtype="auto")
model = PeftModel.from_pretrained(model, {name})"""


def usage(name: str, kind: Kind, base: Base | None, words: Callable[[str], str]) -> Iterator[str]:
    """The parts of the section, in the words of one language."""
    word = shlex.quote(name)
    yield words("use_ivl")
    if kind in ("adapter", "peft"):
        model = shlex.quote(base.model_id) if base and base.model_id else "BASE"
        yield fenced("sh", f"ivl pull {word} -o adapter\nivl chat -m {model} --adapter adapter picture.jpg")
        if model == "BASE":
            yield words("use_base")
        if kind == "adapter":
            yield words("merge_first")
            return
        yield words("use_peft")
        yield fenced("python", _PEFT.format(name=json.dumps(name)))
        yield words("merge_peft")
        return
    yield fenced("sh", f"ivl chat -m {word} picture.jpg\nivl serve {word}")
    if kind in ("official-bare", "own"):
        yield words("only_ivl" if kind == "official-bare" else "only_ivl_own")
        return
    if kind == "transformers":
        yield words("use_transformers")
        yield fenced("python", _TRANSFORMERS.format(name=json.dumps(name)))
    flag = " --trust-remote-code" if kind == "official" else ""
    yield words("use_vllm")
    yield fenced("sh", f"vllm serve {word}{flag}")
    yield words("use_lmdeploy")
    yield fenced("sh", f"lmdeploy serve api_server {word}{flag}")
    yield words("not_run")
    if kind == "official":
        yield words("remote_code")
