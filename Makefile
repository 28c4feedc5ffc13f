# The few commands that people type. Each sets up what it needs; a second time takes seconds.
PYTHON ?= python3
FLEET ?= examples/laptop.yaml
BIN := .venv/bin

.PHONY: serve test check bench clean
.DEFAULT_GOAL := serve

serve: .venv/.complete  ## a real model on real vLLM, at http://127.0.0.1:8080/v1
	@exec $(BIN)/headrace up $(FLEET)

test: check .venv/.complete  ## everything, real engines included
	@$(BIN)/headrace prepare $(FLEET)
	@$(BIN)/pytest

check: .venv/.complete  ## style, types and the order of the rooms; seconds
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/.complete  ## the gateway's cost against direct, nginx and vllm-router
	@$(BIN)/python -m bench

clean:  ## removes what the other targets made here; caches of weights and engines stay
	rm -rf .venv .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  f"Headrace needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}; try make PYTHON=python3.12")'
	@echo "setting up .venv (about a minute, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@
