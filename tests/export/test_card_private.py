"""What a card may not say: paths, names and keys of the machine that wrote it; and what no text may do to its form."""

import getpass
import json
import socket
from pathlib import Path

import pytest
import yaml

from card_folders import model_folder, report_folder, run_folder
from ivl.data.settings import DataSource
from ivl.export.card import write_card
from ivl.export.card_private import fenced, in_markdown, in_yaml, public

NAME = "me/InternVL2-2B-food"


def test_nothing_of_the_machine_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "hf_" + "Ab3" * 11
    monkeypatch.setattr(getpass, "getuser", lambda: "annegret")
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-box-17.lab.example")
    monkeypatch.setenv("HF_TOKEN", token)
    model = model_folder(tmp_path / "home" / "annegret" / "model")
    run = run_folder(
        tmp_path / "run",
        path="/home/annegret/.cache/InternVL2-2B",
        data_root="/mnt/gpu-box-17/annegret",
        data_path=(
            DataSource(path="/home/annegret/secret plans/train.json"),
            DataSource(path="b.json", name=f"annegret's {token}"),
            DataSource(path="C:\\Users\\annegret\\c.json"),
        ),
        image_folder="/home/annegret/photos",
        work_dir="/home/annegret/runs",
        target_modules=("q_proj", "/home/annegret/x"),
    )
    report = report_folder(tmp_path / "eval", model, device="annegret@gpu-box-17 /home/annegret", dtype=token)
    results = json.loads((report / "results.json").read_text("utf-8"))
    results["circumstances"]["command"] = f"HF_TOKEN={token} ivl eval /home/annegret/sets"
    results["sets"][0]["title"] = f"a set in /home/annegret/sets {token}"
    (report / "results.json").write_text(json.dumps(results), "utf-8")
    page = (report / "report.html").read_text("utf-8")
    (report / "report.html").write_text(page.replace("Where is the disc?", "See /home/annegret/x.png"), "utf-8")
    text = write_card(model, name=NAME, run=run, report=report).read_text("utf-8")
    for secret in (token, "annegret", "gpu-box-17", "lab.example", "/home", "/mnt", "Users", str(tmp_path), "secret"):
        assert secret not in text, secret
    assert "| train.json | training |" in text
    assert "See x.png" in text


def test_texts_are_made_safe() -> None:
    assert (
        public("see https://huggingface.co/a/b/c, and/or a/b/c 1/2")
        == "see https://huggingface.co/a/b/c, and/or a/b/c 1/2"
    )
    assert public("in /data/x/y.json and ~/z and file:///etc/passwd") == "in y.json and z and passwd"
    assert public("/home/annegret") == "…"
    assert public("https://me:pw@host/x me@host.example") == "https://…host/x …"
    assert public("a\u202eb\x00c\nd") == "a b c d"
    assert in_markdown("|a|*b*<c>[d](e)") == "\\|a\\|\\*b\\*\\<c\\>\\[d\\](e)"
    for text in ("a\u0085b", "\U0001f35c", 'q"\\', "x: y #z", "\u2028"):
        assert yaml.safe_load(in_yaml(text)) == " ".join(text.replace("\u0085", " ").replace("\u2028", " ").split())
    assert fenced("sh", "a ```` b").startswith("`````sh\n")
