# make demo   the synthetic rig through the real processes, LiDAR lost in the middle; a log and a report in out/demo
# make test   every test (installs what tests need)
# make lint   ruff, and mypy on the installed wheel
# make bench  figures of this machine
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench weights clean

$(BIN)/python:
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sensorfuse (a minute or two)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.base
	@echo "installing what tests need (PyTorch is the largest)"
	@$(PIP) -e '.[train,test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(VENV)/.base
	@$(BIN)/sensorfuse demo --out out/demo

test: $(VENV)/.test
	@$(BIN)/python -m pytest -q

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@./.ci/typecheck $(BIN)/python

bench: $(VENV)/.base
	@$(BIN)/sensorfuse bench pipeline --duration 30 --json out/bench/pipeline.json

weights: $(VENV)/.test
	@$(BIN)/python -m sensorfuse.fusion.train --all

clean:
	rm -rf $(VENV) out build dist *.egg-info
