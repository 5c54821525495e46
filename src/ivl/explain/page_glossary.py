"""What the words on the page of `ivl explain` mean, for somebody who has met no vision-language model before.

In: nothing. Out: pairs of a word and its meaning, in the order of the walk, the same ones in both languages.
"""

ENGLISH = (
    (
        "Tile",
        "A square part of the picture, or the whole of it made small, in the only size that the vision model reads.",
    ),
    ("Thumbnail", "The whole picture in one tile. It is the last one and shows how the others belong together."),
    ("Patch", "A small square of a tile. To the vision model it is what a letter is to a reader."),
    (
        "Vision model (ViT, vision transformer)",
        "It turns every patch into a row of numbers, and lets all patches of a tile look at each other, so that each "
        "row also says what is around it.",
    ),
    (
        "Pixel shuffle",
        "Puts the rows of neighbouring patches one behind the other into one longer row. Nothing is lost, and there "
        "are fewer rows to read.",
    ),
    (
        "Connector",
        "A small network that translates from the vision model's numbers to those that the language model understands.",
    ),
    (
        "Token",
        "What a language model reads and writes: a word, a part of one, a sign, or a place for a part of a picture.",
    ),
    ("Image token", "A token that was made of pixels instead of letters."),
    (
        "Template",
        "The marks that the model was trained with around every question: who speaks, where a picture stands, where "
        "the answer begins.",
    ),
    (
        "Layer",
        "One round of work. In each, every token first gathers from the others (attention), then thinks by itself.",
    ),
    (
        "Attention",
        "How a token takes from others: it weighs them all, and the weights add up to 100%. In the language model only "
        "earlier tokens can be weighed.",
    ),
    ("Head", "One of several attentions side by side in a layer; each learns to look for something else."),
    ("Prefill", "The first pass of the language model over the whole prompt at once."),
    (
        "Decode",
        "Everything after it: one pass for each token of the answer. What earlier tokens left behind (keys and values) "
        "is kept, so that only the new one is computed.",
    ),
    ("Parameters, weights", "The numbers in a model, set by training and the same for every question."),
    ("Adapter", "A few more numbers beside those of a layer, trained for one purpose while the model stays as it is."),
)

CHINESE = (
    ("图块", "图片的一个正方形部分，或缩小后的整张图，大小是视觉模型唯一能读的尺寸。"),
    ("缩略图", "放进一块里的整张图片，排在最后，说明其他各块怎样拼在一起。"),
    ("小片（patch）", "图块里的一个小正方形。它之于视觉模型，就像字母之于读者。"),
    (
        "视觉模型（ViT，视觉 Transformer）",
        "把每个小片变成一行数字，并让一块里的所有小片互相看，于是每一行也说明了周围有什么。",
    ),
    ("Pixel shuffle", "把相邻小片的几行首尾相接，成为更长的一行。什么都没有丢，要读的行却少了。"),
    ("连接器", "一个小网络，把视觉模型的数字翻译成语言模型能懂的数字。"),
    ("词元（token）", "语言模型读写的单位：一个词、词的一部分、一个符号，或者图片一小部分的位置。"),
    ("图片词元", "由像素而不是文字变成的词元。"),
    ("模板", "模型训练时每个问题周围都有的标记：谁在说话，图片在哪里，回答从哪里开始。"),
    ("层", "一轮计算。每一轮里，每个词元先从其他词元收集信息（注意力），再自己处理。"),
    ("注意力", "词元从别处取信息的方式：给所有词元一个权重，加起来是 100%。语言模型里只能看前面的词元。"),
    ("头", "一层里并列的几个注意力之一，各自学会寻找不同的东西。"),
    ("预填充", "语言模型第一遍读提示词，一次读完全部。"),
    ("解码", "之后的一切：回答的每个词元算一遍。前面词元留下的键和值会保存起来，所以每次只算新的一个。"),
    ("参数（权重）", "模型里的数字，由训练决定，对每个问题都一样。"),
    ("适配器", "加在某些层旁边的少量数字，为一个目的单独训练，模型本身保持不变。"),
)
