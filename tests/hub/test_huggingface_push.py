"""What was looked over arrives bit for bit in one commit, or an error says what to do and nothing has changed."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from hub.hub_server import READ_TOKEN, TOKEN, FakeHub, Fault
from hub.world import only_hub, sharded
from ivl.errors import HubError
from ivl.export.publish import PushPlan, plan_push, push
from ivl.hub.huggingface_push import push_to_huggingface
from ivl.hub.patience import Telling
from ivl.hub.sending import Pushed, Target

NAME = "me/InternVL2-2B-food"
PATH = f"models/{NAME}"


@pytest.fixture(scope="module")
def plan(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> PushPlan:
    """A model in three weight files."""
    return plan_push(sharded(tiny_folder("tiny-llama"), tmp_path_factory.mktemp("out") / "model"), NAME, "hf")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """An empty hub that takes large files in parts of 100 kB."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with only_hub(tmp_path, monkeypatch, FakeHub(chunk_size=100_000)) as hub:
        yield hub


def refused(plan: PushPlan, **options: Any) -> str:
    with pytest.raises(HubError) as caught:
        push(plan, **options)
    message = str(caught.value)
    assert "\n" not in message
    for secret in (TOKEN, READ_TOKEN, "signed-secret"):
        assert secret not in message
    return message


def assert_arrived(hub: FakeHub, plan: PushPlan, revision: str = "main") -> None:
    assert hub.files(PATH, revision) == {file.name: file.path.read_bytes() for file in plan.files}


def num_puts(hub: FakeHub) -> int:
    return len(hub.asked("^PUT /part"))


class TestArriving:
    def test_a_model_in_three_files(self, hub: FakeHub, plan: PushPlan) -> None:
        seen: list[tuple[str, int, int]] = []
        before = sorted(plan.folder.rglob("*"))
        pushed = push(plan, told=Telling(progress=lambda *each: seen.append(each)))
        assert_arrived(hub, plan)
        commit = hub.repos[PATH].at("main")[0]
        assert pushed == Pushed(url=f"{hub.url}/{NAME}", commit=commit, num_sent=len(plan.files), num_kept=0)
        assert num_puts(hub) == 20
        assert seen[-1][1:] == (plan.num_bytes, plan.num_bytes)
        assert any(0 < done < plan.num_bytes for _, done, _ in seen)
        assert sorted(plan.folder.rglob("*")) == before
        assert not hub.repos[PATH].private

    def test_again_sends_nothing(self, hub: FakeHub, plan: PushPlan) -> None:
        first = push(plan)
        hub.requests.clear()
        assert push(plan) == Pushed(url=first.url, commit=first.commit, num_sent=0, num_kept=len(plan.files))
        assert not hub.asked("^(PUT|POST)(?! /api/repos/create)")

    def test_cut_twice_in_the_middle_of_parts(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.faults = [Fault("PUT /part/.*/3", cut_after=50_000), Fault("PUT /part/.*/5", cut_after=10)]
        push(plan)
        assert_arrived(hub, plan)
        assert num_puts(hub) == 22  # a part that was cut goes once more, and no other

    def test_what_arrived_before_the_end_is_not_sent_again(self, hub: FakeHub, plan: PushPlan) -> None:
        third = next(file for file in plan.files if "-00003-of" in file.name)
        hub.faults = [Fault(f"PUT /part/{third.sha256}/2", cut_after=0, times=99)]
        assert "push again, what has arrived is not sent again" in refused(plan)
        assert hub.files(PATH) == {}
        hub.faults.clear()
        hub.requests.clear()
        push(plan)
        assert_arrived(hub, plan)
        assert {each[2].split("/")[2] for each in hub.asked("^PUT")} == {third.sha256}

    def test_a_commit_whose_answer_is_lost(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.faults = [Fault("POST .*/commit/", after=True)]
        assert push(plan).num_sent == len(plan.files)
        assert_arrived(hub, plan)
        assert len(hub.repos[PATH].branches["main"]) == 2

    def test_a_commit_that_is_cut_is_made_again(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.faults = [Fault("POST .*/commit/", cut_after=20)]
        push(plan)
        assert_arrived(hub, plan)

    def test_whole_files_where_the_hub_wants_no_parts(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.chunk_size = None
        push(plan)
        assert_arrived(hub, plan)

    def test_private_and_on_a_branch(self, hub: FakeHub, plan: PushPlan) -> None:
        pushed = push(plan, private=True, revision="v1", message="Dishes")
        assert hub.repos[PATH].private
        assert_arrived(hub, plan, "v1")
        assert hub.files(PATH) == {}
        assert pushed.url == f"{hub.url}/{NAME}/tree/v1"
        push(plan, private=True, revision="v1")

    def test_a_busy_hub_is_waited_for(self, hub: FakeHub, plan: PushPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []
        monkeypatch.setattr(time, "sleep", waits.append)
        hub.faults = [
            Fault(f"POST .*/{what}", status=429, headers={"Retry-After": "3"}) for what in ("create", "batch")
        ]
        notes: list[str] = []
        push(plan, told=Telling(note=notes.append))
        assert waits == [4.0, 4.0]
        assert "the hub asks to wait (429): again in 4 s" in notes


class TestRefused:
    def test_no_token(self, hub: FakeHub, plan: PushPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        said = refused(plan)
        assert said.startswith(f"no token for {hub.url}: make one that may write on {hub.url}/settings/tokens")
        assert hub.requests == []

    def test_wrong_token(self, hub: FakeHub, plan: PushPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
        said = refused(plan)
        assert "refuses the token: make one that may write on" in said
        assert "xxxx" not in said

    def test_a_token_that_may_read_only(self, hub: FakeHub, plan: PushPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
        assert "does not let this token write to me/InternVL2-2B-food" in refused(plan)
        assert hub.repos == {}

    def test_a_mirror_without_https(self, hub: FakeHub, plan: PushPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
        assert "is not https: the token would travel in the open" in refused(plan)

    def test_renamed(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.add("models/me/new", {})
        hub.renamed[PATH] = "models/me/new"
        assert "is called 'me/new' now" in refused(plan)

    def test_public_although_private_was_asked_for(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.add(PATH, {})
        assert "exists and is public, so --private cannot be kept" in refused(plan, private=True)
        assert not hub.asked("^PUT")

    def test_somebody_else_pushes_meanwhile(self, hub: FakeHub, plan: PushPlan) -> None:
        repo = hub.add(PATH, {"a.txt": b"x"})
        told = Telling(progress=lambda name, done, total: repo.commit("main", {"a.txt": str(done).encode()}))
        assert "somebody else changed" in refused(plan, told=told)

    def test_weights_that_would_be_loaded_instead(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.add(PATH, {"model.safetensors": b"x", "notes.txt": b"mine"})
        assert "holds model.safetensors, which this folder does not have" in refused(plan)
        assert not hub.asked("^PUT")
        push(plan, replace=True)
        assert set(hub.files(PATH)) == {"notes.txt"} | {file.name for file in plan.files}

    def test_arrived_damaged(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.damaged = {"config.json"}
        assert "with another hash than it has here: push again" in refused(plan)

    def test_the_store_finds_another_hash(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.faults = [Fault("POST /complete", status=400)]
        assert "could not be pushed" in refused(plan)
        assert hub.files(PATH) == {}

    def test_no_room_at_the_hub(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.faults = [Fault("POST .*/batch", status=413)]
        assert "has no room for these files (413)" in refused(plan)

    def test_a_file_that_changes_meanwhile(
        self, hub: FakeHub, tiny_folder: Callable[[str], Path], tmp_path: Path
    ) -> None:
        plan = plan_push(sharded(tiny_folder("tiny-llama"), tmp_path / "model"), NAME, "hf")
        card = tmp_path / "model" / "README.md"
        card.write_text(card.read_text("utf-8").upper(), "utf-8")
        assert "README.md changed while it was sent" in refused(plan)
        card.unlink()
        card.symlink_to("/etc/hostname")
        assert "cannot be read any more" in refused(plan)
        assert hub.files(PATH) == {}

    @pytest.mark.parametrize("name", ["name", "../name", "me/../x", "me/na me", "-x/y"])
    def test_names_that_are_none(self, name: str) -> None:
        with pytest.raises(HubError, match="is no repository's name"):
            Target(hub="huggingface", repo_id=name, revision=None, private=False, message="x")


class TestToken:
    def test_it_goes_to_the_hub_alone(self, hub: FakeHub, plan: PushPlan) -> None:
        hub.verify_url = f"{hub.stranger_url}/verify"
        push(plan)
        assert {each[3] for each in hub.requests if each[0] in ("store", "stranger")} == {None}
        assert len([each for each in hub.requests if each[0] == "stranger"]) == 3
        assert f"Bearer {TOKEN}" in {each[3] for each in hub.requests if each[0] == "hub"}

    def test_a_mirror_that_leads_elsewhere(self, hub: FakeHub, plan: PushPlan) -> None:
        away = {"Location": f"{hub.stranger_url}/elsewhere"}
        hub.faults = [Fault("(GET|POST) /api", status=307, headers=away, times=99)]
        refused(plan)
        asked = [each for each in hub.requests if each[0] == "stranger"]
        assert asked
        assert {each[3] for each in asked} == {None}

    def test_it_is_nowhere_to_be_read(
        self, hub: FakeHub, plan: PushPlan, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
    ) -> None:
        caplog.set_level(logging.DEBUG)
        notes: list[str] = []
        hub.faults = [Fault("PUT /part", cut_after=10, times=2), Fault("POST .*/batch", status=500)]
        push(plan, told=Telling(note=notes.append))
        assert any("thrown while requesting PUT" in note for note in notes)
        shown = capfd.readouterr()
        texts = [caplog.text, shown.out, shown.err, *notes]
        texts += [path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
        assert not [text for text in texts if TOKEN in text]
        assert not [text for text in texts[1:] if "signed-secret" in text]  # httpx tells addresses to who asks for INFO

    def test_the_clients_settings_are_as_before(self, hub: FakeHub, plan: PushPlan) -> None:
        before = huggingface_hub.constants.HF_HUB_DISABLE_XET, logging.getLogger("huggingface_hub").handlers
        push(plan)
        hub.faults = [Fault("GET /api/whoami", status=401)]
        refused(plan)
        after = huggingface_hub.constants.HF_HUB_DISABLE_XET, logging.getLogger("huggingface_hub").handlers
        assert before == after
        assert len(huggingface_hub.get_session().event_hooks["request"]) == 1


def test_only_what_was_looked_over_is_opened(plan: PushPlan, hub: FakeHub, tmp_path: Path) -> None:
    target = Target(hub="huggingface", repo_id=NAME, revision=None, private=False, message="x")
    pushed = push_to_huggingface(target, plan.files[:1], Telling())
    assert pushed.num_sent == 1
    assert set(hub.files(PATH)) == {plan.files[0].name}
