"""What the walk through the model says, in English and Chinese.

In: "en" or "zh". Out: a `Wording`; its {places} are filled by `sections.py`. Knows no figures.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Every text of the walk."""

    language: str
    grid_title: str
    grid_lead: str
    grid_chosen_alt: str
    grid_chosen: str
    grid_all: str
    grid_each: str
    grid_off: str
    grid_mark: str
    grid_more: str
    tiles_title: str
    tiles_lead: str
    tiles_one: str
    tile_alt: str
    thumbnail_name: str
    thumbnail_alt: str
    tokens_title: str
    tokens_lead: str
    patches_alt: str
    patches_name: str
    shuffled_alt: str
    shuffled_name: str
    shapes_caption: str
    shapes_step: str
    shapes_tile: str
    shapes_all: str
    shapes_pixels: str
    shapes_patches: str
    shapes_shuffle: str
    shapes_connector: str
    prompt_title: str
    prompt_lead: str
    prompt_caption: str
    kind: str
    kind_tokens: str
    kind_share: str
    kind_template: str
    kind_text: str
    kind_image: str
    kind_answer: str
    prompt_region: str
    prompt_tile: str
    time_title: str
    time_lead: str
    time_caption: str
    time_stage: str
    time_seconds: str
    time_share: str
    time_each: str
    time_total: str
    time_bar_alt: str
    stage_read: str
    stage_cut: str
    stage_vision: str
    stage_prefill: str
    stage_decode: str
    each_read: str
    each_cut: str
    each_vision: str
    each_prefill: str
    each_decode: str
    gaze_title: str
    gaze_intro: str
    gaze_alt: str
    gaze_name: str
    gaze_less: str
    gaze_more: str
    gaze_kinds: str
    gaze_places: str
    gaze_lead: str
    layers_late: str
    layers_one: str
    rows: tuple[str, str, str]
    columns: tuple[str, str, str]
    center: str


_EN = Wording(
    language="en",
    grid_title="The picture is cut to fit its shape",
    grid_lead="The vision model reads squares of {size} x {size} pixels and nothing else. So the picture "
    "is stretched to a grid of such squares, of {least} to {most} tiles. There are {count} grids to choose "
    "from; the one whose shape is nearest to the picture's ({width} x {height}, {shape:.2f} : 1) is taken, "
    "and where two are equally near, the larger one only if the picture has pixels enough for it.",
    grid_chosen_alt="The picture with the lines of its grid, {columns} columns and {rows} rows; tiles "
    "are numbered from left to right and from top to bottom",
    grid_chosen="Tiles: {columns} x {rows} = {count}",
    grid_all="All {count} grids, the nearest shape first",
    grid_each="{columns} x {rows}",
    grid_off="off by {distance:.2f}",
    grid_mark="chosen",
    grid_more="and {count} more, each further off",
    tiles_title="What the model sees",
    tiles_lead="Each tile is a picture of its own to the vision model. The thumbnail, the whole picture "
    "in one tile, shows how they belong together: {count} tiles in all.",
    tiles_one="One tile holds the whole picture, so there is no thumbnail.",
    tile_alt="Tile {number}, row {row}, column {column}",
    thumbnail_name="thumbnail",
    thumbnail_alt="Tile {number}: the whole picture, squeezed into a square",
    tokens_title="From patches to tokens",
    tokens_lead="A tile of {size} x {size} pixels is {patches} patches of {patch} x {patch}. Pixel "
    "shuffle lays each {factor} x {factor} of them side by side, and a small network, the connector, "
    "makes one token of them: {tokens} a tile. To the language model such a token is like a word.",
    patches_alt="One tile under a net of {side} x {side} patches; {factor} x {factor} of them are marked",
    patches_name="{side} x {side} = {count} patches",
    shuffled_alt="The same tile under a net of {side} x {side} tokens; the one that was made of the "
    "marked patches is marked",
    shuffled_name="{side} x {side} = {count} tokens",
    shapes_caption="Numbers at each step",
    shapes_step="Step",
    shapes_tile="One tile",
    shapes_all="All tiles ({count})",
    shapes_pixels="Pixels",
    shapes_patches="Vision model",
    shapes_shuffle="Pixel shuffle",
    shapes_connector="Connector",
    prompt_title="The prompt, token by token",
    prompt_lead="This is all the language model gets (tokens: {prompt}), and what it said (tokens: {answer}). "
    "Everything in one box is one token, or several that only together make a character.",
    prompt_caption="Tokens by kind",
    kind="Kind",
    kind_tokens="Tokens",
    kind_share="Share",
    kind_template="template",
    kind_text="your words",
    kind_image="picture",
    kind_answer="answer",
    prompt_region="Every token of prompt and answer, in order",
    prompt_tile="tile {number}: {count} tokens",
    time_title="Where the time went",
    time_lead="The same question, asked once more with nothing in any cache: {first} to the first token, and {tokens} "
    "tokens in all. The engine tells only when tokens come, so vision model and prefill were timed by themselves, and "
    "the time to the first token is shared out in their proportion.",
    time_caption="Time of each stage",
    time_stage="Stage",
    time_seconds="Time",
    time_share="Share",
    time_each="That is",
    time_total="Together",
    time_bar_alt="A bar of the stages in order, as long as they took; the table below has the same numbers",
    stage_read="Reading the file",
    stage_cut="Cutting into tiles and tokens",
    stage_vision="Vision model and connector",
    stage_prefill="Prefill: the language model reads the prompt",
    stage_decode="Decode: the answer, token by token",
    each_read="{each} a picture",
    each_cut="{each} a picture",
    each_vision="{each} a tile, of {count}",
    each_prefill="{rate} tokens a second, {count} tokens",
    each_decode="{each} a token, of {count}",
    gaze_title="Where the model looked",
    gaze_intro="While it writes a word, the language model weighs every token before it. Its weights for the image "
    "tokens, mean of all heads, are laid back over the picture here; the thumbnail's tokens cover it all. Models also "
    "rest their attention on places that show nothing, so look for what changes from word to word.",
    gaze_alt="The picture, lit where the model looked while it wrote \u201c{word}\u201d: most of it {place}, "
    "{share} of all that it looked at the picture",
    gaze_name="Where the model looked while it wrote \u201c{word}\u201d, {layers}",
    gaze_less="less",
    gaze_more="more",
    gaze_kinds="What \u201c{word}\u201d looked at",
    gaze_places="Where on the picture",
    gaze_lead="{share} of the attention went to this picture.",
    layers_late="mean of the last {count} layers",
    layers_one="layer {number} of {count}",
    rows=("top", "middle", "bottom"),
    columns=("left", "center", "right"),
    center="in the middle",
)

_ZH = Wording(
    language="zh",
    grid_title="按图片的形状切分",
    grid_lead="视觉模型只能看 {size} x {size} 像素的正方形，所以图片先被拉伸成由这种正方形组成"
    "的网格，共 {least} 到 {most} 块。可选的网格有 {count} 种，形状与图片（{width} x {height}，即"
    " {shape:.2f} : 1）最接近的一种被选中；两种同样接近时，只有图片的像素足够多才选较大的。",
    grid_chosen_alt="画着网格线的图片，{columns} 列 {rows} 行，图块从左到右、从上到下编号",
    grid_chosen="{columns} x {rows} = {count} 块",
    grid_all="全部 {count} 种网格，形状最接近的在前",
    grid_each="{columns} x {rows}",
    grid_off="相差 {distance:.2f}",
    grid_mark="选中",
    grid_more="还有 {count} 种，相差更大",
    tiles_title="模型看到的图",
    tiles_lead="对视觉模型来说，每一块都是一张独立的图片。缩略图把整张图放进一块，说明各块怎样"
    "拼在一起。一共 {count} 块。",
    tiles_one="整张图只有一块，所以没有缩略图。",
    tile_alt="第 {number} 块，第 {row} 行第 {column} 列",
    thumbnail_name="缩略图",
    thumbnail_alt="第 {number} 块：压成正方形的整张图片",
    tokens_title="从图像小片到词元",
    tokens_lead="一块 {size} x {size} 像素的图分成 {patches} 个 {patch} x {patch} 的小片。Pixel "
    "shuffle 把相邻的 {factor} x {factor} 个小片并在一起，再由一个小网络（连接器）变成一个词元，"
    "每块 {tokens} 个。对语言模型来说，这样的词元就像一个词。",
    patches_alt="一块图，上面是 {side} x {side} 个小片的网格，其中 {factor} x {factor} 个被标出",
    patches_name="{side} x {side} = {count} 个小片",
    shuffled_alt="同一块图，上面是 {side} x {side} 个词元的网格，由标出的小片变成的那个词元被标出",
    shuffled_name="{side} x {side} = {count} 个词元",
    shapes_caption="每一步的数量",
    shapes_step="步骤",
    shapes_tile="一块",
    shapes_all="全部 {count} 块",
    shapes_pixels="像素",
    shapes_patches="视觉模型",
    shapes_shuffle="Pixel shuffle",
    shapes_connector="连接器",
    prompt_title="提示词，一个个词元看",
    prompt_lead="这就是语言模型得到的全部内容（{prompt} 个词元）和它的回答（{answer} 个词元）"
    "。每个框是一个词元，或者是合起来才成为一个字的几个词元。",
    prompt_caption="各类词元的数量",
    kind="类别",
    kind_tokens="词元数",
    kind_share="占比",
    kind_template="模板",
    kind_text="你的话",
    kind_image="图片",
    kind_answer="回答",
    prompt_region="提示词和回答的全部词元，按顺序",
    prompt_tile="第 {number} 块：{count} 个词元",
    time_title="时间花在哪里",
    time_lead="同一个问题又问了一遍，不用任何缓存：{first} 后得到第一个词元，一共 {tokens} 个。"
    "引擎只报告词元到来的时刻，所以视觉模型和预填充是单独计时的，到第一个词元为止的时间按这个比例分给它们。",
    time_caption="各阶段的时间",
    time_stage="阶段",
    time_seconds="时间",
    time_share="占比",
    time_each="折合",
    time_total="合计",
    time_bar_alt="按顺序排列的各阶段，长度就是时间；数字与下表相同",
    stage_read="读取文件",
    stage_cut="切成图块和词元",
    stage_vision="视觉模型和连接器",
    stage_prefill="预填充：语言模型读提示词",
    stage_decode="解码：逐个词元写回答",
    each_read="每张图 {each}",
    each_cut="每张图 {each}",
    each_vision="每块 {each}，共 {count} 块",
    each_prefill="每秒 {rate} 个词元，共 {count} 个",
    each_decode="每个词元 {each}，共 {count} 个",
    gaze_title="模型看了哪里",
    gaze_intro="语言模型每写一个词，都会给前面的每个词元一个权重。这里把图片词元的权重（各注意力头的平均）放回图片上，"
    "缩略图的词元覆盖整张图。模型也会把注意力放在什么都没有的地方，所以要看不同的词之间有什么变化。",
    gaze_alt="图片上亮的地方是模型写\u201c{word}\u201d时看的地方：{place}最多，占它看图片的 {share}",
    gaze_name="模型写\u201c{word}\u201d时看的地方，{layers}",
    gaze_less="少",
    gaze_more="多",
    gaze_kinds="\u201c{word}\u201d看了什么",
    gaze_places="看图片的哪里",
    gaze_lead="注意力的 {share} 在这张图片上。",
    layers_late="最后 {count} 层的平均",
    layers_one="第 {number} 层（共 {count} 层）",
    rows=("上", "中", "下"),
    columns=("左", "中", "右"),
    center="正中",
)

WORDINGS = MappingProxyType({"en": _EN, "zh": _ZH})


def wording(language: str) -> Wording:
    """The texts in a language; English for one that is not there."""
    return WORDINGS.get(language, _EN)
