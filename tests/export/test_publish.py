"""What would be sent is a whole model and its card, and nothing else, whatever lies in the folder."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.world import sharded
from ivl.errors import AdapterError, CheckpointError, HubError, InputError, IvlError
from ivl.export.publish import PushPlan, check_name, plan_push

NAME = "me/InternVL2-2B-food"
WEIGHTS = {f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)} | {"model.safetensors.index.json"}
SENT = WEIGHTS | {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md"}


@pytest.fixture(scope="module")
def finished(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharded(tiny_folder("tiny-llama"), tmp_path_factory.mktemp("finished") / "model")


@pytest.fixture
def model(finished: Path, tmp_path: Path) -> Path:
    """A finished model that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "model"))


def plan(folder: Path) -> PushPlan:
    return plan_push(folder, NAME, "hf")


def sent(folder: Path) -> set[str]:
    return {file.name for file in plan(folder).files}


def stays(folder: Path) -> dict[str, str]:
    return {each.name: each.reason for each in plan(folder).left_out}


def refused(folder: Path, error: type[IvlError]) -> str:
    with pytest.raises(error) as caught:
        plan(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestSent:
    def test_every_file_with_size_and_hash(self, model: Path) -> None:
        found = plan(model)
        assert {file.name for file in found.files} == SENT
        assert found.kind == "model"
        assert found.left_out == ()
        for file in found.files:
            data = (model / file.name).read_bytes()
            assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert found.num_bytes == sum(path.stat().st_size for path in model.iterdir())

    def test_licence_template_and_pictures_of_the_card(self, model: Path) -> None:
        for name in ("LICENSE", "LICENSE-qwen.txt", "NOTICE", "chat_template.jinja", "generation_config.json"):
            (model / name).write_text("{}")
        (model / "card").mkdir()
        (model / "card" / "sample-1.jpg").write_bytes(b"\xff\xd8")
        (model / "card" / "private.jpg").write_bytes(b"\xff\xd8")
        more = {"LICENSE", "LICENSE-qwen.txt", "NOTICE", "chat_template.jinja", "generation_config.json"}
        assert sent(model) == SENT | more | {"card/sample-1.jpg"}
        assert stays(model) == {"card/private.jpg": "a picture that README.md does not show"}

    def test_the_official_code_and_no_other(self, model: Path) -> None:
        config = json.loads((model / "config.json").read_text())
        config["auto_map"] = {"AutoModel": "modeling_own.OwnModel", "AutoConfig": "other/repo--evil.Evil"}
        (model / "config.json").write_text(json.dumps(config))
        for name in ("modeling_internvl_chat.py", "conversation.py", "modeling_own.py", "evil.py", "setup.py"):
            (model / name).write_text("raise SystemExit")
        assert sent(model) == SENT | {"modeling_internvl_chat.py", "conversation.py", "modeling_own.py"}
        assert stays(model) == dict.fromkeys(("evil.py", "setup.py"), "no code of the official model")

    def test_an_adapter(self, tmp_path: Path, finished: Path) -> None:
        import torch
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(2)}, tmp_path / "adapter_model.safetensors")
        (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/home/me/InternVL2-2B"}')
        (tmp_path / "README.md").write_text("# An adapter")
        (tmp_path / "optimizer.pt").write_bytes(b"x")
        found = plan(tmp_path)
        assert found.kind == "adapter"
        names = {"adapter_model.safetensors", "adapter_config.json", "README.md"}
        assert {file.name for file in found.files} == names
        assert "a path of this machine" in found.notes[0]


class TestStays:
    def test_what_is_no_part_of_the_model(self, model: Path) -> None:
        reasons = {
            ".env": "hidden", ".git": "hidden", "checkpoint-64": "a folder",
            "pytorch_model.bin": "a pickle, which can run code", "adapter.pt": "a pickle, which can run code",
            "optimizer.safetensors": "the state of a training", "trainer_state.json": "the state of a training",
            "state.json": "the state of a training", "metrics.jsonl": "a log or data", "train.log": "a log or data",
            "other.safetensors": "no weights of this model", "secrets.yaml": "no model file",
            "mine.jpg": "a picture that README.md does not show", "two words.json": "a name that others refuse",
        }  # fmt: skip
        for name, reason in reasons.items():
            if reason == "a folder" or name == ".git":
                (model / name).mkdir()
                (model / name / "config.json").write_text("{}")
            else:
                (model / name).write_bytes(b"x")
        assert stays(model) == reasons
        assert sent(model) == SENT

    def test_links_and_pipes_are_not_opened(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("HF_TOKEN=hf_x")
        (model / "LICENSE").symlink_to(tmp_path / "secret")
        (model / "card").symlink_to(tmp_path)
        os.mkfifo(model / "NOTICE")
        assert stays(model) == {"LICENSE": "a link", "NOTICE": "no regular file", "card": "a link"}
        assert sent(model) == SENT

    def test_a_card_that_names_other_folders(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "out.jpg").write_bytes(b"x")
        (model / "README.md").write_text("![x](../out.jpg) ![x](/etc/x.jpg) ![x](a/b/c.jpg) ![x](.git/x.jpg)")
        assert sent(model) == SENT


class TestRefused:
    def test_a_model_that_is_not_whole(self, model: Path) -> None:
        (model / "model-00002-of-00003.safetensors").unlink()
        assert "1 of 3 weight files are missing" in refused(model, CheckpointError)

    def test_a_damaged_weight_file(self, model: Path) -> None:
        path = model / "model-00002-of-00003.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        assert "is cut short" in refused(model, CheckpointError)

    def test_only_pickles(self, model: Path) -> None:
        for path in model.glob("*.safetensors*"):
            path.unlink()
        (model / "pytorch_model.bin").write_bytes(b"cos\nsystem")
        assert "only as pickles" in refused(model, CheckpointError)

    def test_a_shard_name_that_leads_out(self, model: Path, tmp_path: Path) -> None:
        index = json.loads((model / "model.safetensors.index.json").read_text())
        first = next(iter(index["weight_map"]))
        for name in ("../secret.safetensors", "/etc/x.safetensors", "a\\b.safetensors"):
            index["weight_map"][first] = name
            (model / "model.safetensors.index.json").write_text(json.dumps(index))
            assert "only plain names inside the folder are opened" in refused(model, CheckpointError)

    def test_weights_that_are_links(self, model: Path, tmp_path: Path) -> None:
        path = model / "model-00002-of-00003.safetensors"
        path.rename(model / "here.safetensors")
        path.symlink_to(model / "here.safetensors")
        assert "copy the folder with `cp -rL`" in refused(model, CheckpointError)
        path.unlink()
        os.mkfifo(path)
        assert "is not a regular file" in refused(model, CheckpointError)

    def test_no_tokenizer_no_card(self, model: Path, tmp_path: Path) -> None:
        (model / "README.md").unlink()
        assert "has no README.md: let --card write one" in refused(model, InputError)
        (model / "tokenizer.json").unlink()
        assert "has no tokenizer" in refused(model, CheckpointError)
        assert "no such folder" in refused(tmp_path / "nowhere", CheckpointError)

    @pytest.mark.parametrize("secret", ["hf_" + "aB3" * 12, "ms-01234567-89ab-cdef-0123-456789abcdef"])
    def test_a_token_in_a_text(self, secret: str, model: Path) -> None:
        (model / "README.md").write_text(f"run with HF_TOKEN={secret}\n")
        said = refused(model, InputError)
        assert "README.md holds what looks like a token" in said
        assert secret not in said

    def test_an_adapter_without_weights(self, tmp_path: Path) -> None:
        (tmp_path / "adapter_config.json").write_text("{}")
        (tmp_path / "adapter_model.bin").write_bytes(b"cos\nsystem")
        assert "has no adapter_model.safetensors" in refused(tmp_path, (CheckpointError, AdapterError))

    def test_names(self) -> None:
        assert check_name(NAME, "hf") == "huggingface"
        assert check_name(NAME, "modelscope") == "modelscope"
        for name in ("me/food", "InternVL/food", "me/internvl2-food"):
            with pytest.raises(HubError, match=r"the name must contain 'InternVL' \(as in "):
                check_name(name, "hf")
        for name in ("InternVL2", "me/Intern VL", "me/../InternVL", "--x/InternVL", "me/InternVL2@main"):
            with pytest.raises(HubError, match="is no repository's name"):
                check_name(name, "hf")
        with pytest.raises(HubError, match="did you mean 'modelscope'"):
            check_name(NAME, "modelscop")
