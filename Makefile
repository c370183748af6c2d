PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup quickstart test lint format bench benchmarks clusters retrain readme tree constraints clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

quickstart: setup
	$(BIN)/python pipelines/quickstart.py

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The job beside a straightforward program: CPU seconds by step, memory, equal answers. Some ten minutes.
bench: setup
	$(BIN)/python pipelines/bench.py

benchmarks: setup
	$(BIN)/python -m pytest -m benchmarks -s

# Clusters that grow, shrink and lose their nodes, on fake GPUs; pictures of it in build/clusters.
clusters: setup
	$(BIN)/python -m pytest -m clusters -s tests/clusters

# The small models anew, and everything that depends on them: hashes, README's table and pictures.
retrain: setup
	$(BIN)/python pipelines/train_shapes.py --out infra/bundled --state build/training
	$(MAKE) readme

readme: setup
	$(BIN)/python pipelines/quickstart.py --executor inline --out build/quickstart --readme .

# The commented tree in README.md, after adding or renaming a folder or a recipe.
tree: setup
	$(BIN)/python -m infra.readme.tree README.md

# After changing versions in pyproject.toml: install freely, test, then pin what was tested.
constraints: setup
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
