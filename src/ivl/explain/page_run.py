"""One question, asked so that everything about it can be shown: its answer, its walk, its words' attention, its times.

In: a pipeline, a question and pictures. Out: `Explained`, all that `page.py` draws. Knows no page.

The prompt is computed four times: for the answer, for its words' attention (all of them in one forward), and twice
with a clock. Whoever else asks the pipeline meanwhile waits for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ivl.explain.attention import Gaze, gazes_in
from ivl.explain.timing import Timing, measure
from ivl.explain.tokens import Word
from ivl.explain.walk import Walk, check_places, take_walk
from ivl.processing.messages import to_messages
from ivl.session import Pipeline
from ivl.session.answer import join
from ivl.types import GenerationConfig, Response

MOST_MAPS = 30
"""Words whose attention is shown, times pictures: each is a drawing in the page."""
_MOST_TIMED = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """A question and its answer, with all that was found out about them."""

    prompt: str
    answer: str
    is_cut: bool
    """The answer ended at its length, not by itself."""
    walk: Walk
    looked: tuple[tuple[Word, Gaze], ...]
    """The answer's first words, and where the model looked while it wrote each."""
    timing: Timing


def explain_prompt(
    pipe: Pipeline,
    prompt: str,
    images: Sequence[object],
    *,
    max_new_tokens: int = 128,
    tell: Callable[[str], object] = lambda stage: None,
) -> Explained:
    """Ask `prompt` about the pictures, and take the answer apart.

    images: paths, URLs, data URIs, bytes or PIL images, at least one. tell: hears "answer", "attention" and "time" as
    each begins. Raises what `Pipeline.stream` raises: PromptError, ImageError, ContextLengthError and others; and
    SettingsError for a model whose image tokens are no places of the picture.
    """
    assert images, "there is no walk of a picture without a picture"
    check_places(pipe.config)
    raw = to_messages((prompt, list(images)))
    tell("answer")
    messages = list(pipe.loaded(raw))
    said = join(list(pipe.stream(messages, GenerationConfig(max_new_tokens=max_new_tokens))))
    walk = take_walk(pipe.processor, messages, said.token_ids)
    tell("attention")
    looked = _looked(pipe, walk, max_new_tokens)
    tell("time")
    num_timed = max(2, min(_MOST_TIMED, len(said.token_ids)))
    return Explained(
        prompt=prompt,
        answer=said.text,
        is_cut=said.finish_reason == "length",
        walk=walk,
        looked=looked,
        timing=measure(pipe, raw, walk.inputs, num_tokens=_fitting(pipe, said, num_timed)),
    )


def _fitting(pipe: Pipeline, said: Response, wanted: int) -> int:
    """No more tokens than there is room for behind the prompt."""
    return max(1, min(wanted, pipe.session_len - said.input_token_len))


def _looked(pipe: Pipeline, walk: Walk, max_new_tokens: int) -> tuple[tuple[Word, Gaze], ...]:
    shown = walk.words[: max(1, MOST_MAPS // len(walk.pictures))]
    if not shown:
        return ()
    last = walk.num_prompt + shown[-1].stop
    bound = max(min(walk.num_prompt + max(max_new_tokens, len(walk.answer_ids)), pipe.session_len), last)
    spans = [(word.start, word.stop) for word in shown]
    return tuple(zip(shown, gazes_in(pipe, walk.inputs, walk.answer_ids, spans, bound=bound), strict=True))
