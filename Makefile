# make demo   the synthetic rig through the real processes, LiDAR lost in the middle; a log and a report in out/demo
# make test   every test (installs what tests need)
# make lint   ruff, and mypy on the installed wheel
# make bench  figures of this machine
# make weights  trains the shipped networks again
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

SCENARIOS := $(foreach s,town town_rain town_night town_fog highway,--scenario $(s))

# About an hour on two cores. `train` writes the networks, the encoders and a JSON card per strategy; `evaluate` adds accuracy.
weights: $(VENV)/.test
	@$(BIN)/python -m sensorfuse.fusion.training.dataset --out out/fusion/data $(SCENARIOS) --worlds 47 --held-out 2 --ticks 40 --seed 1000
	@$(BIN)/python -m sensorfuse.fusion.training.train --strategy hybrid --strategy cross_modal_attention \
	  --data out/fusion/data --out out/fusion/run --epochs 4 --threads 1 --seed 0
	@cp out/fusion/run/*.onnx out/fusion/run/*.json out/fusion/run/*.safetensors sensorfuse/fusion/weights/
	@$(BIN)/sensorfuse eval accuracy $(SCENARIOS) --worlds 3 --ticks 20 --into-weights sensorfuse/fusion/weights

clean:
	rm -rf $(VENV) out build dist *.egg-info
