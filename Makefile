# Every target builds .venv by itself when it is missing.
# TORCH names the PyTorch to develop against: `make .venv TORCH=torch` takes the newest, with CUDA on Linux.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: check test docs bench clean

.venv: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch .venv

check: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv
	$(BIN)/python -m pytest -n 2 -m "not gpu"

docs: .venv
	$(BIN)/python -m pip install -q -e ".[docs]"
	$(BIN)/mkdocs build --strict

bench: .venv
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
