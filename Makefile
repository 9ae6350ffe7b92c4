# make demo   the synthetic rig through the real processes, LiDAR lost in the middle; a log and a report in out/demo
# make test   every test (installs what tests need)
# make lint   ruff, and mypy on the installed wheel
# make bench  figures of this machine, and what got slower since the last time
# make soak   the whole rig with random faults: make soak MINUTES=60
# make weights  trains the shipped networks again
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench soak weights clean

$(BIN)/python:
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sensorfuse (a minute or two)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.base
	@echo "installing what tests need (PyTorch and TensorRT-RTX are the largest)"
	@$(PIP) -e '.[train,rtx,test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(VENV)/.base
	@$(BIN)/sensorfuse demo --out out/demo

# those that start the pipeline's processes want the machine for themselves; the others share its cores
test: $(VENV)/.test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not alone'
	@$(BIN)/python -m pytest -q -m alone

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@./.ci/typecheck $(BIN)/python

bench: $(VENV)/.base
	@$(BIN)/sensorfuse bench pipeline --duration 30 --json out/bench/pipeline.json
	@$(BIN)/sensorfuse bench guard

soak: $(VENV)/.base
	@$(BIN)/sensorfuse soak --minutes $(or $(MINUTES),10) --rate 20 --json out/soak.json

RATES := --dropout 0.2 --dropout 0.35 --dropout 0.35 --dropout 0.15 --dropout 0.15

# Strategies trained on the encoders that `hybrid` learned: their names, and options.
frozen = for s in $(1); do $(BIN)/sensorfuse train --strategy $$s $(2) $(RATES) --encoders out/train/encoders.safetensors \
  --out out/train_$$s && cp out/train_$$s/$$s.* sensorfuse/fusion/weights/ || exit 1; done
TWO_EPOCHS := late_learned tensor_fusion low_rank polynomial recurrent_residual auto_fusion gan_fusion product_of_experts \
  searched modal_attention co_attention single_stream bottleneck gated_cross_attention coordinated parameter_sharing \
  channel_exchange pyramid two_stream data_level graph

# About nine hours on two cores: encoders with `hybrid`, then the others. `memory` learns from runs of ticks; `eval` adds accuracy.
weights: $(VENV)/.test
	@$(BIN)/sensorfuse train --strategy hybrid --epochs 5 $(RATES) --data out/driving --out out/train
	@cp out/train/*.onnx out/train/*.json out/train/*.safetensors sensorfuse/fusion/weights/
	@$(call frozen,cross_modal_attention early,--epochs 3 --data out/driving)
	@$(call frozen,$(TWO_EPOCHS),--epochs 2 --data out/driving)
	@$(call frozen,memory,--epochs 5 --data out/driving_runs --worlds 22 --run-ticks 8 --back 4)
	@$(BIN)/sensorfuse eval accuracy --worlds 2 --ticks 15 --into-weights --into-readme README.md

clean:
	rm -rf $(VENV) out build dist *.egg-info
