# Every target builds .venv by itself when it is missing.
# TORCH names the PyTorch to develop against: `make .venv TORCH=torch` takes the newest, with CUDA on Linux.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: demo check test docs bench clean

.venv: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch .venv

# Draws a dataset of shapes, trains the small recipe on it, evaluates it on pictures held out, and draws what it finds.
DEMO := runs/demo

demo: .venv
	rm -rf $(DEMO)
	$(BIN)/cornernet data synth --output $(DEMO)/shapes --train 1600 --val 100 --test 100
	$(BIN)/cornernet train --recipe demo --data $(DEMO)/shapes --output $(DEMO)/train
	$(BIN)/cornernet evaluate --data $(DEMO)/shapes --split test --weights $(DEMO)/train/weights/best --batch 16 --tta --output $(DEMO)/evaluate
	$(BIN)/cornernet predict $(DEMO)/shapes/test --weights $(DEMO)/train/weights/best --batch 16 --draw-conf 0.5 --output $(DEMO)/predict

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
