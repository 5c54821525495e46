"""A folder shaped as FoodieQA is published, with dishes and pictures of our own."""

import json
from pathlib import Path

import PIL.Image

DISHES = ["龙井虾仁", "麻婆豆腐", "鱼香肉丝", "叫花鸡", "肉夹馍", "过桥米线", "佛跳墙", "臭鳜鱼", "锅包肉", "担担面"]
CUISINES = ["浙菜", "川菜", "粤菜", "徽菜"]


def entry(number: int, **changes) -> dict:
    """Entry `number`: two questions for each dish, and a picture for each dish."""
    dish = DISHES[number // 2 % len(DISHES)]
    cuisine = number % 2 == 0
    made = {
        "question": "图片中的食物通常属于哪个菜系?" if cuisine else "图片中的食物的主要食材是什么？",
        "choices": CUISINES if cuisine else ["虾仁", "豆腐", "猪肉", "面粉"],
        "answer": str(number % 4),
        "question_type": "cuisine_type" if cuisine else "ingredient",
        "food_name": dish,
        "question_id": f"q{number}",
        "food_meta": {"food_name": dish, "food_file": f"images/{number // 2:03}.jpg", "main_ingredient": ["x"]},
        "question_en": "Which cuisine is it?" if cuisine else "What is the main ingredient?",
        "choices_en": ["Zhejiang cuisine", "Sichuan", "Cantonese", "Anhui"]
        if cuisine
        else ["Shrimp", "Tofu", "A", "B"],
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def write_foodieqa(folder: Path, entries: list | None = None, name: str = "sivqa_tidy.json") -> Path:
    """Writes the folder: 20 questions on 10 dishes unless `entries` are given."""
    (folder / "images").mkdir(parents=True)
    for number in range(len(DISHES)):
        PIL.Image.new("RGB", (40, 30), (20 * number, 90, 60)).save(folder / f"images/{number:03}.jpg")
    entries = [entry(number) for number in range(2 * len(DISHES))] if entries is None else entries
    (folder / name).write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return folder


def four_pictures_entry(number: int, **changes) -> dict:
    """An entry on the pictures `number` to `number + 3`, as published: without choices and names."""
    made = {
        "question": "以下哪道菜属于川菜？",
        "choices": "",
        "answer": str(number % 4),
        "question_type": "cuisine_type",
        "question_id": f"m{number}",
        "images": [f"images/{(number + place) % len(DISHES):03}.jpg" for place in range(4)],
        "question_en": "Which dish is Sichuan cuisine?",
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def no_picture_entry(number: int, **changes) -> dict:
    """An entry that names the dish, as published: in Chinese only."""
    dish = DISHES[number % len(DISHES)]
    made = {
        "question": f"{dish}属于哪个菜系？",
        "choices": CUISINES,
        "answer": str(number % 4),
        "question_type": "cuisine_type",
        "food_name": dish,
        "cuisine_type": CUISINES[number % 4],
        "question_id": f"t{number}",
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def write_all_tasks(folder: Path) -> Path:
    """Writes a folder with all three tasks: 20, 10 and 10 questions on 10 dishes."""
    write_foodieqa(folder)
    for name, made in (("mivqa_tidy.json", four_pictures_entry), ("textqa_tidy.json", no_picture_entry)):
        entries = [made(number) for number in range(len(DISHES))]
        (folder / name).write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return folder
