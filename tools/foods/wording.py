"""The words of the food set's questions, in Chinese and English.

In: nothing; foods, to say what is true of them. Out: templates by topic, and values as an answer says them. A template
holds `{noun}` (food, drink) and, where a value or a food's name stands in the question, `{x}`. The Chinese ones keep
their question word where the answer would stand, so that `ivl data foodieqa` can turn them into sentences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.foods.food import Food, Foods, Language
from tools.foods.quadruples import Topic

Said = Mapping[Language, str]


@dataclass(frozen=True)
class Template:
    """One wording in both languages."""

    zh: str
    en: str

    def filled(self, noun: Said, x: Said | None = None) -> dict[str, str]:
        """The two fields of an entry."""
        values = x or {"zh": "", "en": ""}
        return {
            "question": self.zh.format(noun=noun["zh"], x=values["zh"]),
            "question_en": self.en.format(noun=noun["en"], x=values["en"]),
        }


Templates = Mapping[Topic, tuple[Template, ...]]

ONE_PICTURE: Templates = {
    "name": (
        Template("图片中的{noun}是什么？", "What is the {noun} in the picture?"),
        Template("图片中的{noun}叫什么？", "What is the {noun} in the picture called?"),
        Template(
            "以下哪个是图片中的{noun}的名称？", "Which of the following is the name of the {noun} in the picture?"
        ),
        Template("这张图片展示的是哪种{noun}？", "Which {noun} does this picture show?"),
    ),
    "kind": (
        Template("图片中的{noun}属于哪一类？", "Which kind does the {noun} in the picture belong to?"),
        Template("图片中的{noun}通常被归为哪类？", "What is the {noun} in the picture usually classed as?"),
        Template("以下哪一类包括图片中的{noun}？", "Which of the following describes the {noun} in the picture?"),
    ),
    "origin": (
        Template("图片中的{noun}最早来自哪里？", "Where does the {noun} in the picture come from?"),
        Template("图片中的{noun}起源于哪个地区？", "In which region did the {noun} in the picture originate?"),
        Template("以下哪个地区是图片中的{noun}的发源地？", "Which region is the home of the {noun} in the picture?"),
        Template("图片中的{noun}的原产地是哪里？", "What is the place of origin of the {noun} in the picture?"),
    ),
    "taste": (
        Template("图片中的{noun}通常是什么味道？", "What does the {noun} in the picture usually taste like?"),
        Template("以下哪种味道最能形容图片中的{noun}？", "Which flavor best describes the {noun} in the picture?"),
        Template("图片中的{noun}的主要味道是什么？", "What is the main flavor of the {noun} in the picture?"),
    ),
    "main_ingredient": (
        Template("图片中的{noun}的主要食材是什么？", "What is the main ingredient of the {noun} in the picture?"),
        Template("图片中的{noun}主要用什么原料制作？", "What is the {noun} in the picture mainly made of?"),
        Template(
            "以下哪种食材是图片中的{noun}的主要食材？", "Which ingredient makes up most of the {noun} in the picture?"
        ),
    ),
    "serving": (
        Template("图片中的{noun}通常怎么享用？", "How is the {noun} in the picture usually enjoyed?"),
        Template("图片中的{noun}一般怎样享用？", "How do people usually have the {noun} in the picture?"),
        Template(
            "图片中的{noun}最常见的享用方式是什么？", "What is the most common way to have the {noun} in the picture?"
        ),
    ),
    "occasion": (
        Template("图片中的{noun}最适合什么时候享用？", "When is the {noun} in the picture most often enjoyed?"),
        Template(
            "人们最常什么时候享用图片中的{noun}？",
            "On which occasion do people most often have the {noun} in the picture?",
        ),
        Template("以下哪个时间最适合享用图片中的{noun}？", "Which time suits the {noun} in the picture best?"),
    ),
}
FOUR_PICTURES: Templates = {
    "name": (
        Template("以下哪张图是{x}？", "Which picture shows the {noun} called {x}?"),
        Template("哪张图中的{noun}是{x}？", "In which picture do you see the {noun} called {x}?"),
        Template("以下哪种{noun}叫{x}？", "Which {noun} is called {x}?"),
    ),
    "kind": (
        Template("以下哪种{noun}属于{x}？", "Which of these is {x}?"),
        Template("哪张图中的{noun}可以归为{x}？", "Which picture shows {x}?"),
    ),
    "origin": (
        Template("以下哪种{noun}最早来自{x}？", "Which of these comes from {x}?"),
        Template("哪张图中的{noun}起源于{x}？", "Which {noun} originated in {x}?"),
        Template("以下哪种{noun}的发源地是{x}？", "Which {noun} has its home in {x}?"),
    ),
    "taste": (
        Template("以下哪种{noun}的味道可以用“{x}”来形容？", "Which of these tastes {x}?"),
        Template("哪张图中的{noun}最符合“{x}”？", "Which {noun} would you call {x}?"),
    ),
    "main_ingredient": (
        Template("以下哪种{noun}主要用{x}制作？", "Which of these is mainly made of {x}?"),
        Template("哪张图中的{noun}的主要食材是{x}？", "Which {noun} has {x} as its main ingredient?"),
    ),
    "serving": (
        Template("以下哪种{noun}通常的享用方式是“{x}”？", "Which of these is usually enjoyed {x}?"),
        Template("人们享用哪张图中的{noun}时通常是“{x}”？", "Which {noun} do people usually have {x}?"),
    ),
    "occasion": (
        Template("以下哪种{noun}最适合{x}享用？", "Which of these is most often enjoyed {x}?"),
        Template("人们最常{x}享用哪张图中的{noun}？", "Which {noun} do people most often have {x}?"),
    ),
}
NO_PICTURE: Templates = {
    "kind": (
        Template("{x}属于哪一类？", "What kind of food or drink would you call {x}?"),
        Template("{x}通常被归为哪类？", "Under what would you usually class {x}?"),
        Template("以下哪一类包括{x}？", "Which of the following describes {x}?"),
        Template("给{x}分类应该归入哪一类？", "If you had to sort {x} into a kind, which would it be?"),
        Template("菜单上{x}会列在哪一类里？", "Under which heading would a menu list {x}?"),
    ),
    "origin": (
        Template("{x}最早来自哪里？", "Where did {x} first come from?"),
        Template("{x}起源于哪个地区？", "In which region did {x} originate?"),
        Template("以下哪个地区是{x}的发源地？", "Which region is the home of {x}?"),
        Template("{x}的原产地是哪里？", "What is the place of origin of {x}?"),
        Template("历史上{x}最先出现在哪里？", "Historically, where did {x} first appear?"),
    ),
    "taste": (
        Template("{x}通常是什么味道？", "What taste do you expect of {x}?"),
        Template("以下哪种味道最能形容{x}？", "Which flavor best describes {x}?"),
        Template("{x}的主要味道是什么？", "What is the main flavor of {x}?"),
        Template("{x}尝起来是什么味道？", "What is the taste of {x}?"),
        Template("第一口{x}会给人什么味道？", "Which taste does the first bite or sip of {x} give?"),
    ),
    "main_ingredient": (
        Template("{x}的主要食材是什么？", "What is the main ingredient of {x}?"),
        Template("{x}主要用什么原料制作？", "What do cooks mainly make {x} of?"),
        Template("以下哪种食材是{x}的主要食材？", "Which ingredient makes up most of {x}?"),
        Template("制作{x}最离不开什么食材？", "Which ingredient is most needed for {x}?"),
        Template("做{x}应该先准备哪种食材？", "To make {x}, which ingredient should you get first?"),
    ),
    "serving": (
        Template("{x}通常怎么享用？", "How do people usually enjoy {x}?"),
        Template("{x}一般怎样享用？", "How do people usually have {x}?"),
        Template("{x}最常见的享用方式是什么？", "What is the most common way to have {x}?"),
        Template("平时{x}怎么享用？", "On an ordinary day, how would you enjoy {x}?"),
        Template("拿到{x}以后一般怎么享用？", "In what way would most people enjoy {x}?"),
    ),
    "occasion": (
        Template("{x}最适合什么时候享用？", "When do people most often enjoy {x}?"),
        Template("人们最常什么时候享用{x}？", "On which occasion do people most often have {x}?"),
        Template("以下哪个时间最适合享用{x}？", "Which time suits {x} best?"),
        Template("一般来说什么时候最适合享用{x}？", "When do people generally have {x}?"),
        Template("{x}会让人想到什么场合？", "Which occasion comes to mind with {x}?"),
    ),
}

DEFAULT_WORD: Said = {"zh": "菜", "en": "dish"}
"""What `ivl data foodieqa` calls a food of which nothing else is said."""
DRINKS = frozenset({"drink", "alcohol"})
_WORDS: Mapping[str, tuple[str, str]] = {
    "fruit": ("水果", "fruit"),
    "sweet": ("甜食", "sweet"),
    "snack": ("零食", "snack"),
    "noodle_dish": ("菜", "dish"),
    "rice_dish": ("菜", "dish"),
    "soup_stew": ("菜", "dish"),
    "meat": ("菜", "dish"),
    "seafood": ("菜", "dish"),
    "packed_food": ("菜", "dish"),
    "drink": ("饮料", "drink"),
    "alcohol": ("酒", "drink"),
}


def answer_of(table: Foods, food: Food, topic: Topic, language: Language) -> str:
    """What is true of a food, as a choice says it."""
    if topic == "name":
        return food.name(language)
    fact = food.fact(topic)
    assert fact is not None, f"{food.food_id} has no {topic}"
    return table.word(topic, fact.value).text(language)


def noun_of(foods: Sequence[Food]) -> Said:
    """What four foods are called together, so that the word tells nothing about which of them is meant."""
    drinks = sum(food.kind.value in DRINKS for food in foods)
    if drinks == len(foods):
        return {"zh": "饮料", "en": "drink"}
    return {"zh": "食物或饮料", "en": "food or drink"} if drinks else {"zh": "食物", "en": "food"}


def word_of(food: Food) -> Said:
    """What one food is called besides its name."""
    zh, en = _WORDS.get(food.kind.value, ("食物", "food"))
    return {"zh": zh, "en": en}
