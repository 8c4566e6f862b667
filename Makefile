PYTHON ?= python3
VENV ?= .venv
# Tested versions; `make … CONSTRAINTS=` takes the newest that pyproject.toml allows instead.
CONSTRAINTS ?= constraints.txt
# Processes that the tests run in, one thread each: two processes of two threads are far slower on two cores.
WORKERS ?= 2
# Passed on to pytest: `make test ARGS="-k courses -x"`.
ARGS ?=
DEMO_DIR ?= mcl-demo

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.installed-docs
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS))
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Of `make test-versions`: lowest-direct, the oldest versions that pyproject.toml allows, or highest, the newest.
RESOLUTION ?= lowest-direct
# More for uv, where it is to take another torch than the index has, say:
# UV_ARGS="--override torch.txt --find-links FOLDER", with the line torch==2.13.0+cpu in torch.txt.
UV_ARGS ?= --torch-backend cpu

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-versions test-upstream test-gpu test-deepspeed test-browser test-docs lint format docs build clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18

install: $(INSTALLED) ## make the environment (.venv) that all else runs in

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(PIP_INSTALL) -e '.[docs]'
	@touch $@

demo: $(INSTALLED) ## pre-train a tiny model on the text inside the package, into mcl-demo/
	$(BIN)/transformers-mcl pretrain --output_dir $(DEMO_DIR) --overwrite_output_dir

test: $(INSTALLED) ## run the tests
	$(PYTEST) -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: $(INSTALLED) ## run the tests that take minutes
	$(PYTEST) -n $(WORKERS) --dist worksteal -m slow $(ARGS)

test-versions: ## run the tests in a fresh environment of the oldest or newest versions: RESOLUTION=lowest-direct or highest
	$(PYTHON) -m venv --clear .venv-$(RESOLUTION)
	.venv-$(RESOLUTION)/bin/python -m pip install --disable-pip-version-check uv
	.venv-$(RESOLUTION)/bin/uv pip install -p .venv-$(RESOLUTION) --resolution $(RESOLUTION) $(UV_ARGS) -e '.[dev]'
	OMP_NUM_THREADS=1 .venv-$(RESOLUTION)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-upstream: $(INSTALLED) ## run transformers' own model tests on our classes
	$(PYTEST) -n $(WORKERS) --dist worksteal -m upstream $(ARGS)

test-gpu: $(INSTALLED) ## run the tests that need a GPU, in one process: cards are not shared
	@$(BIN)/python -c "import sys, torch; torch.cuda.is_available() or sys.exit('torch finds no GPU here')"
	$(PYTEST) -m gpu $(ARGS) tests/gpu

test-deepspeed: $(INSTALLED) ## install DeepSpeed, and run its tests on the CPU; needs a C++ compiler
	$(PIP_INSTALL) -e '.[deepspeed]'
	$(PYTEST) -m deepspeed $(ARGS) tests/training

test-browser: $(INSTALLED) ## install Gradio and a driver, and test the pages in the Chromium or Chrome that is here
	$(PIP_INSTALL) -e '.[app,browser]'
	$(PYTEST) $(ARGS) tests/inspection/test_browser.py tests/inspection/test_app.py

lint: $(INSTALLED) ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(INSTALLED) ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test-docs: $(DOCS_INSTALLED) ## run the code of every page, and the notebooks
	$(PYTEST) -n $(WORKERS) --dist worksteal -m slow $(ARGS) tests/test_blocks.py tests/test_notebooks.py

docs: $(DOCS_INSTALLED) ## build the documentation into site/, if each link leads somewhere
	$(BIN)/mkdocs build --strict

build: $(INSTALLED) ## build wheel and sdist into dist/
	$(BIN)/python -m build --no-isolation

clean: ## remove what the other targets made, but the environment
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache
	find src tests examples docs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
