"""A pipeline without a model, sets of sums, and a run on them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ivl.errors import AdapterError
from ivl.evals.item import Asked, EvalResults, EvalSet, Item, Subject
from ivl.evals.runner import Progress, evaluate
from ivl.evals.settings import EvalSettings
from ivl.types import GenerationConfig, Message, Response, TextPart


class FakePipeline:
    """Answers with what `say(text, adapter)` gives or raises, a token at a time; counts what is asked and open."""

    def __init__(self, say: Callable[[str, str | None], str], refused: frozenset[str] = frozenset()) -> None:
        self.say, self.refused = say, refused
        self.processor = SimpleNamespace(tokenizer=None)
        self.engine = SimpleNamespace(failure=None)
        self.asked: list[tuple[str, str | None, int]] = []
        self.adapters: list[str] = []
        self.is_open, self.lock, self.num_open, self.most_open = True, threading.Lock(), 0, 0

    def load_adapter(self, name: str, folder: str) -> None:
        if name in self.refused:
            raise AdapterError(f"{folder} has to be merged")
        self.adapters.append(name)

    def stream(self, prompt: Any, gen_config: GenerationConfig | None = None, *, adapter: str | None = None) -> Any:
        assert self.is_open, "a closed pipeline was asked"
        assert gen_config is not None, "no settings are given"
        assert adapter is None or adapter in self.adapters, f"{adapter} is not loaded"
        text = prompt[-1].parts[0].text
        with self.lock:
            self.asked.append((text, adapter, gen_config.max_new_tokens))
        return FakeStream(lambda: self.say(text, adapter))  # prepared here, answered while it is read

    def close(self) -> None:
        self.is_open = False


class FakeStream:
    """An answer's pieces; nothing more comes once it is closed."""

    def __init__(self, say: Callable[[], str]) -> None:
        self.say = say
        self.is_closed = False

    def __iter__(self) -> Iterator[Response]:
        answer = self.say()
        pieces = [Response(text=char, generate_token_len=idx) for idx, char in enumerate(answer, 1)]
        for piece in [*pieces, Response(text="", finish_reason="stop", generate_token_len=len(answer) + 1)]:
            if self.is_closed:
                return
            yield piece

    def close(self) -> None:
        self.is_closed = True


def sums(count: int, name: str = "sums", num_prompts: int = 1, first: int = 0) -> EvalSet:
    """ "5+5" and so on; even ones are tagged so."""
    items = tuple(
        Item(
            item_id=f"q{number}",
            where=f"{name}.jsonl:{number + 1}",
            question=f"{number}+{number}",
            answers=(str(2 * number),),
            tags=(("parity", "odd" if number % 2 else "even"),),
        )
        for number in range(first, first + count)
    )
    return EvalSet(name=name, title=name, items=items, metric="exact", ask=ask, num_prompts=num_prompts)


def ask(item: Item, prompt: int) -> Asked:
    text = TextPart(text=f"{item.question} ({prompt})")
    return Asked(messages=(Message(role="user", parts=(text,)),), max_new_tokens=5 + prompt)


def right(text: str, adapter: str | None = None) -> str:
    """The sum."""
    return str(2 * number_of(text))


def number_of(text: str) -> int:
    return int(text.partition("+")[0])


def prompt_of(text: str) -> int:
    return int(text.partition("(")[2].rstrip(")"))


def subject_folder(root: Path, name: str = "model") -> str:
    """As much of a model's folder as is fingerprinted."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    return str(folder)


def adapter_folder(root: Path, name: str) -> str:
    """As much of an adapter's folder as is looked at before it is loaded."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(f'{{"r": 4, "of": "{name}"}}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return str(folder)


class Bench:
    """A folder with a model; runs evaluations there, and remembers the pipelines that were opened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.subjects: tuple[Subject, ...] = (Subject(name="base", folder=subject_folder(root)),)
        self.say: Callable[[str, str | None], str] = right
        self.refused: frozenset[str] = frozenset()
        self.opened: list[tuple[str | None, FakePipeline]] = []
        self.told: list[Progress] = []

    def run(self, *sets: EvalSet, **settings: Any) -> EvalResults:
        self.opened, self.told = [], []
        chosen = EvalSettings(**{"device": "cpu", "batch": 4} | settings)
        return evaluate(self.subjects, sets, chosen, self.root / "out", self.told.append, opener=self._open)

    @property
    def asked(self) -> list[str]:
        return [text for _, pipe in self.opened for text, _, _ in pipe.asked]

    @property
    def notices(self) -> list[str]:
        return [each.notice for each in self.told if each.stage == "notice"]

    def file(self, set_name: str = "sums", subject: str = "base") -> Path:
        return self.root / "out" / "predictions" / subject / f"{set_name}.jsonl"

    def _open(self, folder: str, adapter: str | None, settings: EvalSettings) -> FakePipeline:
        assert not any(pipe.is_open for _, pipe in self.opened), "two models are open at once"
        self.opened.append((adapter, FakePipeline(self.say, self.refused)))
        return self.opened[-1][1]
