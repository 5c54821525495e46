"""Drawings of docs/outlook.md: how InternVL's vision model was aligned, and an output of many kinds.

In: a language. Out: the text of an SVG that stands by itself. What is drawn is not built in this package, and every
drawing says so.
"""

from tools.understand_schemes import Sheet

MARK = {"en": "not built yet in ivl", "zh": "ivl 尚未实现"}


def draw_alignment(language: str) -> str:
    """InternVL's three stages (arXiv:2312.14238), and the two of InternVL2 beside them."""
    words = {
        "en": {
            "alt": "Three stages: contrastive, generative, supervised fine-tuning",
            "names": ("1  contrastive", "2  generative", "3  instructions"),
            "first": (("InternViT-6B", "learns"), ("LLaMA-7B, as a", "text encoder; learns")),
            "first_link": "nearer if they belong together",
            "second": (("InternViT-6B", "stays as it is"), ("QLLaMA", "queries and cross-attention", "learn")),
            "second_link": "three losses: contrast, match, write",
            "third": (
                ("InternViT, QLLaMA", "stay; QLLaMA may learn"),
                ("MLP", "learns"),
                ("chat model", "may stay as it is"),
            ),
            "third_link": "questions and answers",
        },
        "zh": {
            "alt": "三个阶段：对比、生成、指令微调",
            "names": ("1  对比学习", "2  生成学习", "3  指令微调"),
            "first": (("InternViT-6B", "训练"), ("LLaMA-7B", "作文本编码器；训练")),
            "first_link": "配对的图文靠近",
            "second": (("InternViT-6B", "保持不变"), ("QLLaMA", "查询和交叉注意力", "训练")),
            "second_link": "三个损失：对比、匹配、生成",
            "third": (("InternViT、QLLaMA", "不变；QLLaMA 可训练"), ("MLP", "训练"), ("对话模型", "可以不变")),
            "third_link": "问题和回答",
        },
    }[language]
    sheet = Sheet(800, 290, words["alt"])
    sheet.words(20, 24, MARK[language], "b")
    for row, key in enumerate(("first", "second", "third")):
        y = 42 + 80 * row
        sheet.words(20, y + 32, words["names"][row], "b")
        boxes = words[key]
        for column, lines in enumerate(boxes):
            learns = {0: (True, True), 1: (False, True), 2: (False, True, False)}[row][column]
            step, width = (210, 170) if len(boxes) == 3 else (230, 190)
            x = 150 + step * column
            sheet.box(x, y, width, 64, "a" if learns else "t", *lines)
            if column and row:
                sheet.arrow((x - step + width, y + 32), (x - 3, y + 32))
            elif column:  # side by side: neither reads the other
                sheet.raw(f'<path d="M{x - step + width} {y + 32}H{x}" class="o d"/>')
        if len(boxes) == 2:
            sheet.words(582, y + 36, words[f"{key}_link"], "s")
    sheet.raw("<style>.s{font-size:11px}</style>")
    return sheet.text()


def draw_multitask(language: str) -> str:
    """Routing tokens, task embeddings and decoders (VisionLLM v2, arXiv:2406.08394)."""
    words = {
        "en": {
            "alt": "A language model that calls decoders by routing tokens",
            "input": ("picture and", "request"),
            "model": ("language model", "writes words, and a routing token", "where words do not do"),
            "row": ("Here", "it", "is", "[DET]"),
            "queries": "task embeddings",
            "decoders": (
                ("detection", "boxes"),
                ("pose", "points"),
                ("generation", "a picture"),
                ("editing", "a picture"),
            ),
            "read": "their last hidden states",
            "back": "in training, the decoders' gradients come back the same way",
        },
        "zh": {
            "alt": "语言模型用路由词元调用解码器",
            "input": ("图片和", "要求"),
            "model": ("语言模型", "写文字；文字做不到的地方", "写一个路由词元"),
            "row": ("它", "在", "这里", "[DET]"),
            "queries": "任务嵌入",
            "decoders": (("检测", "框"), ("姿态", "关键点"), ("生成", "图片"), ("编辑", "图片")),
            "read": "它们最后的隐藏状态",
            "back": "训练时，解码器的梯度沿同一条路传回来",
        },
    }[language]
    sheet = Sheet(760, 300, words["alt"])
    sheet.words(20, 24, MARK[language], "b")
    sheet.box(20, 116, 100, 60, "x", *words["input"])
    sheet.arrow((120, 146), (148, 146))
    sheet.box(150, 106, 250, 80, "l", *words["model"])
    left = 150.0
    for at, name in enumerate(words["row"]):
        sheet.box(left, 44, 50, 30, "a" if at < 3 else "c", name)
        left += 54
    for _ in range(4):
        sheet.raw(f'<rect x="{left:g}" y="44" width="16" height="30" rx="3" class="v"/>')
        left += 19
    sheet.words(left + 6, 64, words["queries"], "s")
    sheet.arrow((250, 106), (250, 78))
    sheet.arrow((400, 74), (400, 92), (470, 92), (470, 146), (560, 146))
    sheet.words(478, 98, words["read"], "s")
    for at, lines in enumerate(words["decoders"]):
        sheet.box(562, 106 + 46 * at, 178, 40, "c" if at == 0 else "x d", f"{lines[0]} \u2192 {lines[1]}")
    sheet.words(150, 232, words["back"], "s")
    return sheet.text()
