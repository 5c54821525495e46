"""The chat templates of the InternVL family, exact to the official code.

In: turns of text and places of images. Out: segments whose joined text is the official prompt string, with
the trained ones marked. What the official training code does with a sample (strip, drop, skip) is data of the
template too. Knows no tokenizer, no picture and no label arithmetic.
Source: conversation.py and dataset.py of https://github.com/OpenGVLab/InternVL (commit 2410d1d).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from ivl.errors import ConfigError, nearest
from ivl.processing.segments import Segment
from ivl.types import Role


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One message in reading order: segments of kind text and image."""

    role: Role
    segments: tuple[Segment, ...]

    @property
    def is_empty(self) -> bool:
        return not any(segment.text for segment in self.segments)


@dataclass(frozen=True)
class Opening:
    """How a turn begins: a control token, then text."""

    control: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Openings:
    """How the turns of each role begin."""

    system: Opening
    user: Opening
    assistant: Opening


_IM_START = Openings(
    system=Opening("<|im_start|>", "system\n"),
    user=Opening("<|im_start|>", "user\n"),
    assistant=Opening("<|im_start|>", "assistant\n"),
)
_ROLE_TOKENS = Openings(
    system=Opening("<|system|>", "\n"),
    user=Opening("<|user|>", "\n"),
    assistant=Opening("<|assistant|>", "\n"),
)
_SYSTEM_2 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
_SYSTEM_2_5 = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
)


@dataclass(frozen=True, kw_only=True)
class Template:
    """One chat template."""

    name: str
    system: str = _SYSTEM_2
    """System message where the conversation has none."""
    openings: Openings = _IM_START
    end: str = "<|im_end|>"
    """Control token that ends a turn; the model stops on it."""
    after_end: str = ""
    """Text between turns."""
    strips_samples: bool = False
    """A training sample's turns lose the white space around them."""
    drops_opening_answer: bool = True
    """A training sample that begins with an answer loses it."""
    empty_turn: Literal["untrained", "spoils_sample", "trained"] = "spoils_sample"
    """What an empty turn does to a training sample: its end token is missing and not trained; nothing of the
    sample is trained; it is a turn like any other. (In a prompt an empty turn always lacks its end token.)"""

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """Every control token that the template writes."""
        begins = (self.openings.system, self.openings.user, self.openings.assistant)
        return tuple(dict.fromkeys([*(opening.control for opening in begins), self.end]))

    def prompt(self, turns: Sequence[Turn], add_generation_prompt: bool = True) -> list[Segment]:
        """Segments of a prompt that the model is to go on from."""
        segments = [piece for turn in self._with_system(turns) for piece in self._turn(turn)]
        if add_generation_prompt:
            segments += self._open("assistant")
        return segments

    def begun(self, turns: Sequence[Turn]) -> list[Segment]:
        """Segments of a prompt whose last turn is an answer that is begun: as it was typed, and left open."""
        return [*self.prompt(turns[:-1]), *turns[-1].segments]

    def sample(self, turns: Sequence[Turn]) -> list[Segment]:
        """Segments of a training sample; the answers and their end tokens are trained."""
        if self.drops_opening_answer:
            # A system message may stand before it.
            first = next((index for index, turn in enumerate(turns) if turn.role != "system"), 0)
            turns = [turn for index, turn in enumerate(turns) if index != first or turn.role != "assistant"]
        if self.strips_samples:
            turns = [turn if turn.role == "system" else _stripped(turn) for turn in turns]
        spoilt = self.empty_turn == "spoils_sample" and any(t.is_empty for t in turns if t.role != "system")
        segments: list[Segment] = []
        for turn in self._with_system(turns):
            whole = not turn.is_empty or self.empty_turn == "trained"
            trained = turn.role == "assistant" and whole and not spoilt
            segments += self._turn(turn, trained=trained, whole=whole)
        return segments

    def _with_system(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        if turns and turns[0].role == "system":
            return turns
        return [Turn(role="system", segments=(Segment(self.system),)), *turns]

    def _open(self, role: Role) -> list[Segment]:
        opening: Opening = getattr(self.openings, role)
        return [Segment(opening.control, "control"), Segment(opening.text)]

    def _turn(self, turn: Turn, trained: bool = False, whole: bool = False) -> list[Segment]:
        """One turn; an empty one is only its opening, unless it is `whole`, as a system message always is."""
        segments = self._open(turn.role)
        if turn.is_empty and not whole and turn.role != "system":
            return segments
        segments += [replace(segment, trained=trained) for segment in turn.segments]
        segments.append(Segment(self.end, "control", trained=trained))
        if self.after_end:
            segments.append(Segment(self.after_end))
        return segments


def _stripped(turn: Turn) -> Turn:
    """The turn without white space at its two ends; a place of an image is no white space."""
    segments = list(turn.segments)
    while segments and segments[0].kind == "text":
        segments[0] = replace(segments[0], text=segments[0].text.lstrip())
        if segments[0].text:
            break
        del segments[0]
    while segments and segments[-1].kind == "text":
        segments[-1] = replace(segments[-1], text=segments[-1].text.rstrip())
        if segments[-1].text:
            break
        del segments[-1]
    return replace(turn, segments=tuple(segments))


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        template.name: template
        for template in (
            Template(name="internlm2-chat", strips_samples=True, empty_turn="untrained"),
            Template(name="Hermes-2"),
            Template(name="phi3-chat", openings=_ROLE_TOKENS, end="<|end|>"),
            Template(
                name="internvl2_5",
                system=_SYSTEM_2_5,
                after_end="\n",
                drops_opening_answer=False,
                empty_turn="trained",
            ),
        )
    }
)


def get_template(name: str) -> Template:
    """The template of this name; raises ConfigError for another one."""
    if name not in TEMPLATES:
        raise ConfigError(f"template={name!r} of config.json is not known: {nearest(name, TEMPLATES)}")
    return TEMPLATES[name]
