import json
import time
from dataclasses import replace

import pytest

import ivl
from evals.fake_pipeline import Bench, adapter_folder, ask, number_of, prompt_of, right, sums
from ivl.errors import EngineError, ImageError, PromptError
from ivl.evals.item import Asked, EvalSet, Item, Subject
from ivl.evals.runner import evaluate
from ivl.evals.settings import EvalSettings
from ivl.evals.subjects import make_subjects
from ivl.types import ImagePart, Message, TextPart
from ivl.zoo import sample_questions
from random_adapter import make_adapter, tensors_of, write_adapter


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_every_item_is_asked_and_scored(bench):
    bench.say = lambda text, adapter: right(text) if number_of(text) != 3 else "seven"
    results = bench.run(sums(10))
    result = results.result("sums", "base")
    assert [each.text for each in result.predictions[0]] == ["0", "2", "4", "seven", *map(str, range(8, 20, 2))]
    assert [each.score for each in result.predictions[0]] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert [each.item_id for each in result.predictions[0]] == [f"q{n}" for n in range(10)]
    (score,) = result.scores
    assert (score.mean, score.n) == (0.9, 10)
    assert 0.5 < score.low < 0.7 < 0.95 < score.high < 1
    assert [(tag, value, each.mean, each.n) for tag, value, each in result.slices] == [
        ("parity", "even", 1.0, 5),
        ("parity", "odd", 0.8, 5),
    ]
    assert (result.num_unparsed, result.num_failed) == (0, 0)
    assert result.mean_tokens == (4 * 2 + 5 * 3 + 6) / 10
    assert results.circumstances["device"].startswith("cpu")


def test_the_best_prompt_counts(bench):
    bench.say = lambda text, adapter: right(text) if number_of(text) < 2 * prompt_of(text) else ""
    result = bench.run(sums(4, num_prompts=3)).result("sums", "base")
    assert [score.mean for score in result.scores] == [0, 0.5, 1]
    assert (result.best_prompt, result.num_unparsed) == (2, 0)
    assert [each.prompt for each in result.predictions[1]] == [1] * 4
    # Prompts of an item lie together, because they share its pictures; each has its own room for an answer.
    asked = sorted((number_of(text), prompt_of(text), room) for text, _, room in bench.opened[0][1].asked)
    assert asked == [(number, prompt, 5 + prompt) for number in range(4) for prompt in range(3)]
    assert bench.run(sums(4, num_prompts=3)).result("sums", "base").predictions == result.predictions


def test_answers_that_cannot_be_read_are_counted(bench):
    bench.say = lambda text, adapter: "" if number_of(text) < 3 else right(text)
    result = bench.run(sums(5)).result("sums", "base")
    assert (result.num_unparsed, result.num_failed, result.scores[0].mean) == (3, 0, 0.4)


def test_an_item_that_cannot_be_asked_disturbs_no_other(bench):
    def say(text, adapter):
        if number_of(text) == 2:
            raise ImageError("a.png: not a picture")
        return right(text)

    def ask_some(item: Item, prompt: int) -> Asked:
        if item.item_id == "q4":
            raise PromptError("no place for the picture")
        return ask(item, prompt)

    bench.say = say
    broken = replace(sums(6), ask=ask_some)
    result = bench.run(broken).result("sums", "base")
    failed = {each.item_id: each.text for each in result.predictions[0] if not each.finish_reason}
    assert failed == {"q2": "a.png: not a picture", "q4": "no place for the picture"}
    assert (result.num_failed, result.num_unparsed, result.scores[0].n) == (2, 0, 6)
    assert result.scores[0].mean == pytest.approx(4 / 6)
    last = bench.told[-1]
    assert (last.done, last.total, last.num_failed) == (6, 6, 2)
    bench.say = right  # the picture has come back
    again = bench.run(sums(6))
    assert again.result("sums", "base").num_failed == 0
    assert sorted(bench.asked) == ["2+2 (0)", "4+4 (0)"]


def test_what_is_known_opens_no_model(bench):
    first = bench.run(sums(7))
    second = bench.run(sums(7))
    assert bench.opened == []
    assert second.results[0].predictions == first.results[0].predictions
    assert [(each.stage, each.done, each.all_reused) for each in bench.told] == [("asking", 7, 7)]


def test_a_stopped_run_goes_on_where_it_was(bench):
    whole = Bench(bench.root / "whole") if (bench.root / "whole").mkdir() is None else bench
    expected = whole.run(sums(30)).results[0].predictions

    def stop(progress):
        if progress.done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            bench.subjects,
            [sums(30)],
            EvalSettings(device="cpu", batch=4),
            bench.root / "out",
            stop,
            opener=bench._open,
        )
    assert not bench.opened[0][1].is_open
    assert len(bench.file().read_bytes().splitlines()) == 1 + 11
    with bench.file().open("ab") as file:  # killed while it wrote
        file.write(b'{"item_id": "q29", "prom')
    result = bench.run(sums(30)).results[0]
    assert len(bench.asked) == 19
    assert result.predictions == expected
    assert bench.told[0].done == bench.told[0].all_reused == 11


def test_an_item_that_the_engine_fails_on_disturbs_no_other_and_is_asked_again(bench):
    def say(text, adapter):
        if number_of(text) % 10 == 7:
            raise EngineError("not enough memory for this request: give fewer or smaller images")
        return right(text)

    bench.say = say
    result = bench.run(sums(60)).results[0]
    failed = {each.item_id: (each.text, each.score) for each in result.predictions[0] if not each.finish_reason}
    reason = "not enough memory for this request: give fewer or smaller images"
    assert failed == {f"q{number}": (reason, 0.0) for number in range(7, 60, 10)}
    assert (result.num_failed, result.num_unparsed, result.scores[0].n) == (6, 0, 60)
    assert result.scores[0].mean == 0.9
    assert bench.told[-1].num_failed == 6
    bench.say = right
    assert bench.run(sums(60)).results[0].scores[0].mean == 1
    assert sorted(map(number_of, bench.asked)) == list(range(7, 60, 10))


def fail(text, adapter):
    raise EngineError("not enough memory for this request")


def test_a_model_that_fails_on_its_first_twenty_items_stops_the_run(bench):
    bench.say = fail
    with pytest.raises(
        EngineError, match=r"^base could answer none of its first 20 items; the last, more.jsonl:\d+: not enou"
    ):
        bench.run(sums(15), sums(100, "more"), batch=1)
    assert not bench.opened[0][1].is_open
    assert bench.told[-1].all_done == 20
    with pytest.raises(EngineError, match="none of its first 20 items"):  # also the second time
        bench.run(sums(15), sums(100, "more"), batch=1)
    bench.say = right
    assert bench.run(sums(15), sums(100, "more")).results[1].scores[0].mean == 1


def test_an_item_that_fails_under_each_prompt_is_one_item(bench):
    bench.say = lambda text, adapter: fail(text, adapter) if number_of(text) < 19 else right(text)
    result = bench.run(sums(40, num_prompts=4), batch=1).results[0]
    assert (result.num_failed, [score.n for score in result.scores]) == (19, [40] * 4)


def test_a_small_set_that_fails_as_a_whole_is_a_result(bench):
    bench.say = fail
    result = bench.run(sums(19)).results[0]
    assert (result.num_failed, result.scores[0].mean) == (19, 0)


def test_twenty_failures_among_answers_stop_no_run(bench):
    bench.say = lambda text, adapter: right(text) if number_of(text) < 12 else fail(text, adapter)
    assert bench.run(sums(50)).results[0].num_failed == 38
    bench.run(sums(50))  # the failed ones alone, of which none can be answered
    assert len(bench.asked) == 38


def test_each_subject_has_its_own_first_questions(bench):
    food = Subject(name="food", folder=bench.subjects[0].folder, adapter=adapter_folder(bench.root, "food"))
    bench.subjects = (*bench.subjects, food)
    bench.say = lambda text, adapter: fail(text, adapter) if adapter else right(text)
    with pytest.raises(EngineError, match="food could answer none of its first 20 items"):
        bench.run(sums(40))


def test_an_engine_that_fails_as_a_whole_stops_the_run_and_keeps_the_answers(bench):
    def say(text, adapter):
        if number_of(text) >= 20:
            failure = EngineError("the engine failed and takes no more requests")
            bench.opened[0][1].engine.failure = failure
            raise failure
        return right(text)

    bench.say = say
    with pytest.raises(EngineError, match=r"sums.jsonl:21: the engine failed .* kept in .*out: run the same again"):
        bench.run(sums(40), batch=1)
    kept = len(bench.file().read_bytes().splitlines()) - 1
    assert kept >= 10
    assert not bench.opened[0][1].is_open
    bench.say = right
    assert bench.run(sums(40)).results[0].scores[0].mean == 1
    assert len(bench.asked) == 40 - kept


def test_a_mistake_of_ours_is_not_taken_for_the_items(bench):
    bench.say = lambda text, adapter: 1 / 0
    with pytest.raises(ZeroDivisionError):
        bench.run(sums(40))
    assert not bench.opened[0][1].is_open


def test_adapters_stand_beside_their_base(bench):
    folder = bench.subjects[0].folder
    food = Subject(name="food", folder=folder, adapter=adapter_folder(bench.root, "food"))
    bench.subjects = (*bench.subjects, food)
    bench.say = lambda text, adapter: right(text) if adapter == "food" else "0"
    results = bench.run(sums(8), sums(3, "more"))
    means = [(each.set_name, each.subject, each.scores[0].mean) for each in results.results]
    assert means == [("sums", "base", 1 / 8), ("sums", "food", 1.0), ("more", "base", 1 / 3), ("more", "food", 1.0)]
    assert len(bench.opened) == 1
    bench.subjects = (bench.subjects[0], replace(food, adapter=adapter_folder(bench.root, "food2")))
    bench.run(sums(8), sums(3, "more"))
    assert "another adapter" in bench.notices[0]
    assert len(bench.asked) == 11
    assert bench.file(subject="food").with_name("sums.jsonl.old").exists()


def test_other_settings_are_other_answers(bench):
    bench.run(sums(3))
    bench.run(sums(3), max_tiles=2)
    assert len(bench.asked) == 3
    assert "max_tiles=None, now 2" in bench.notices[0]


def test_only_a_changed_question_is_asked_again(bench):
    bench.run(sums(6))
    changed = sums(6)
    items = list(changed.items)
    items[4] = replace(items[4], question="9+9", answers=("18",))
    items[5] = replace(items[5], answers=("ten",))  # another key needs no other answer
    result = bench.run(replace(changed, items=tuple(items))).results[0]
    assert bench.asked == ["9+9 (0)"]
    assert [each.score for each in result.predictions[0]] == [1, 1, 1, 1, 1, 0]
    assert bench.run(sums(6)).results[0].scores[0].mean == 1
    assert bench.asked == []


def test_a_limit_is_the_beginning_of_the_whole(bench):
    few = bench.run(sums(50), limit=10)
    assert len(bench.asked) == 10
    assert len(few.sets[0].items) == few.results[0].scores[0].n == 10
    bench.run(sums(50))
    assert len(bench.asked) == 40


def test_progress_counts_to_the_end(bench):
    bench.run(sums(5), sums(4, "more", num_prompts=2))
    asking = [each for each in bench.told if each.stage == "asking"]
    assert [(each.set_name, each.total) for each in asking[:2]] == [("sums", 5), ("more", 8)]
    assert [each.all_done for each in asking] == [0, 0, *range(1, 14)]
    assert {each.all_total for each in asking} == {13}
    assert [each.subject for each in bench.told if each.stage == "opening"] == ["base"]
    json.dumps([vars(each) for each in bench.told], allow_nan=False)


def test_slow_answers_hold_nobody_up(bench):
    def say(text, adapter):
        if number_of(text) == 0:
            while len(bench.opened[0][1].asked) < 60:  # all others are asked while it thinks
                time.sleep(0.001)
        return right(text)

    bench.say = say
    result = bench.run(sums(60)).results[0]
    assert result.scores[0].mean == 1
    assert bench.file().read_text().splitlines()[-1].startswith('{"item_id": "q0"')


def real_set(pick=slice(None)) -> EvalSet:
    """The sample pictures with their questions; one more picture cannot be read."""
    items = tuple(
        Item(
            item_id=f"{idx}-{each.picture.stem}",
            where=each.picture.name,
            question=each.question,
            answers=(each.answer,),
            images=(each.picture,),
            choices=(each.answer, "nothing"),
        )
        for idx, each in enumerate(sample_questions()[pick])
    )

    def ask_picture(item: Item, prompt: int) -> Asked:
        parts = (*(ImagePart(source=image) for image in item.images), TextPart(text=item.question))
        return Asked(messages=(Message(role="user", parts=parts),), max_new_tokens=40)

    return EvalSet(name="samples", title="samples", items=items, metric="exact", ask=ask_picture)


def test_the_model_in_the_package_knows_its_pictures(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    samples = real_set(slice(0, 4))
    broken = replace(samples.items[0], item_id="broken", images=(tmp_path / "broken.png",))
    long = replace(samples.items[0], item_id="long", question="why? " * 3000)
    samples = replace(samples, items=(*samples.items[:3], broken, long, *samples.items[3:]))
    settings = EvalSettings(device="cpu", batch=4, max_tiles=1, session_len=1000)
    results = evaluate(make_subjects(["zoo"]), [samples], settings, tmp_path / "out")
    (result,) = results.results
    assert (result.num_failed, result.num_unparsed) == (2, 0)
    assert "broken.png" in result.predictions[0][3].text
    assert "at most 999 fit" in result.predictions[0][4].text
    assert sum(each.score for each in result.predictions[0]) >= 2, [each.text for each in result.predictions[0]]
    assert result.mean_tokens > 2
    assert result.seconds > 0
    assert results.circumstances["dtype"] == "float32"


def test_the_model_in_the_package_chooses_letters(tmp_path):
    items = tuple(replace(item, answers=("A",)) for item in real_set(slice(0, 2)).items)
    letters = replace(real_set(), items=items, metric="choice")
    settings = EvalSettings(device="cpu", batch=2, max_tiles=1, scoring="likelihood")
    (result,) = evaluate(make_subjects(["zoo"]), [letters], settings, tmp_path / "out").results
    assert {each.text for each in result.predictions[0]} <= {"A", "B"}
    assert (result.mean_tokens, result.num_unparsed) == (1, 0)


def test_adapters_answer_as_in_a_pipeline_of_their_own(tmp_path, tiny_folder):
    base = tiny_folder("tiny-internlm2")
    kinds = {"beside": (), "merged": ("language_model.embed_tokens",)}
    for seed, (name, replaced) in enumerate(kinds.items(), start=1):
        adapter = make_adapter(seed, ivl.load_config(base), ends=("q_proj", "v_proj"), scale=2.0, replaced=replaced)
        own = {"modules_to_save": ["embed_tokens"]} if replaced else {}
        write_adapter(tmp_path / name, tensors_of(adapter), target_modules=["q_proj", "v_proj"], **own)
    subjects = make_subjects([f"base={base}"], [f"{name}={tmp_path / name}" for name in kinds])
    settings = EvalSettings(device="cpu", batch=2, session_len=256)
    results = evaluate(subjects, [sums(3)], settings, tmp_path / "out").results
    said = {each.subject: [answer.text for answer in each.predictions[0]] for each in results}
    assert len({tuple(texts) for texts in said.values()}) == 3
    greedy = ivl.GenerationConfig(max_new_tokens=5, do_sample=False)
    for subject in subjects:
        config = ivl.EngineConfig(device="cpu", session_len=256)
        with ivl.pipeline(subject.folder, subject.adapter, config) as pipe:
            prompts = [f"{number}+{number} (0)" for number in range(3)]
            assert [each.text for each in pipe(prompts, greedy)] == said[subject.name], subject.name
