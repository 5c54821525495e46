# Two commands do everything on a fresh machine with Python 3.11 to 3.13: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The release that every check runs on; the package itself takes torch >= 2.11.
TORCH := torch==2.13.0
# What builds the site lives apart: it needs neither torch nor the package, and is there in seconds.
SITE := $(VENV)/site
CHECK_PYTHON = $(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"error: Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: run make PYTHON=python3.12")'

.PHONY: help setup demo tutorial test test-slow check format docs site bench clean

help:  ## Show what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.dev  ## Make .venv with everything needed to develop

demo: $(VENV)/.core  ## Set up, then ask the small model in the package about pictures
	@$(BIN)/ivl demo --out out/demo

tutorial: $(VENV)/.train  ## Set up, then chat, fine-tune, chat again, measure: one page in out/tutorial
	@$(BIN)/ivl tutorial --out out/tutorial

test: $(VENV)/.dev  ## Set up, then run the fast tests
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

test-slow: $(VENV)/.dev  ## Run the long tests too (load, kills, long documents)
	@$(BIN)/python -m pytest -m "not gpu"

check: $(VENV)/.dev  ## Lint, format check, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev  ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.dev  ## Run the quick commands that README and docs show
	@$(BIN)/python -m pytest tests/test_docs.py

site: $(VENV)/.site  ## Build the documents as a static site, English and Chinese, in out/site
	@$(SITE)/bin/python docs/site/build.py out/site

bench: $(VENV)/.dev  ## Measure this machine's speed beside transformers
	@$(BIN)/python benchmarks/cpu_vs_transformers.py

clean:  ## Remove the environment and all that was made
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.core: pyproject.toml
	@$(CHECK_PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (torch is large: this takes a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.train: $(VENV)/.core
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[train]"
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

$(VENV)/.site: pyproject.toml
	@$(CHECK_PYTHON)
	@test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	@$(SITE)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(SITE)/requirements.txt
	@$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(SITE)/requirements.txt
	@touch $@
