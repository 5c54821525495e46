"""Folders that a card is written for: a model without weights, its run and its evaluation, as ivl leaves them."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from evals.made_results import made_up
from ivl.data.settings import DataSource
from ivl.evals.item import Subject
from ivl.evals.report import write_report
from ivl.model.config_export import to_official, to_transformers
from ivl.model.family import FAMILY
from ivl.train.checkpoint import save_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.metrics import MetricsLog
from ivl.train.rank_main import config_to_json
from train.made_up_run import whole_run

MIT = "MIT License\n\nCopyright (c) someone\n\nPermission is hereby granted, free of charge, to any person\n"


def model_folder(folder: Path, kind: str = "bare", shape: str = "InternVL2-1B") -> Path:
    """A config.json, which is all of a model that a card looks at. kind: bare, code (as the published ones), own (a
    connector of ours), transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    config = replace(FAMILY[shape], image_token_id=None)  # which the tokenizer's files would say
    config = replace(config, connector="linear") if kind == "own" else config
    table = to_transformers(config) if kind == "transformers" else to_official(config)
    if kind == "code":
        table["auto_map"] = {"AutoModel": "modeling_internvl_chat.InternVLChatModel"}
        (folder / "modeling_internvl_chat.py").write_text("raise SystemExit('this must not run')\n")
    (folder / "config.json").write_text(json.dumps(table))
    return folder


def run_folder(folder: Path, **recipe: object) -> Path:
    """A run that ended, written by what writes them."""
    log = MetricsLog(folder / "metrics.jsonl", 0)
    for event in whole_run():
        log(event)
    log.close()
    values = {"data_path": (DataSource(path="food/train.json"),), "connector": "full", **recipe}
    state = {"recipe": config_to_json(TrainConfig(**values))}  # type: ignore[arg-type]
    tensors = {"a": torch.zeros(1)}
    save_checkpoint(folder, 20, trained=tensors, optimizer=tensors, state=state)
    return folder


def report_folder(folder: Path, model: Path | None = None, **circumstances: str) -> Path:
    """An evaluation of two subjects on two sets, of which one may not be passed on; the second one lies in `model`."""
    results = made_up()
    first, second = results.subjects
    if model is not None:
        second = Subject(name=second.name, folder=str(model))
    told = {**results.circumstances, **circumstances}
    write_report(replace(results, subjects=(first, second), circumstances=told), folder)
    return folder
