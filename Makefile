# `make demo` and `make test` do everything, on a machine that has Python 3.11+ and make.
# To be set if wanted: PYTHON (which interpreter), VENV (where to install), TORCH_INDEX (where
# torch comes from; empty is PyPI's default build), GRADIO_SERVER_PORT, and IMITATION_* (README).

VENV = .venv
PY = $(VENV)/bin/python
TESTS =

# A stamp's name holds the checksum of what it stands for, so a changed pin installs again and
# nothing else does.
RUN := $(VENV)/.run-$(shell cat requirements.txt | cksum | cut -d' ' -f1)
DEV := $(VENV)/.dev-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d' ' -f1)

help:
	@echo "make demo         install, fetch the weights, open the app on port 7860"
	@echo "make test         install, then every test (test-fast: only the quick ones)"
	@echo "make vllm         install a vLLM for the CPU (Linux, 3.5 GB): its tests run then too"
	@echo "make lint         ruff and mypy"
	@echo "make docs         this documentation as a website, into build/docs"
	@echo "make bench        every benchmark, into benchmarks/RESULTS.md"
	@echo "make screenshots  pictures of the app for the documentation"
	@echo "make lock         compile requirements*.txt from pyproject.toml"
	@echo "make clean        remove the virtual environment and tool caches"
	@echo "make clean-cache  remove the downloaded weights"

demo: $(RUN)
	@$(PY) -m imitation.models.embedded.weights --all || echo "Opening the app without its pocket models."
	@exec $(PY) app.py

test: $(DEV) weights chromium sandbox
	$(PY) -m pytest $(TESTS)

test-fast: $(DEV)
	$(PY) -m pytest -m "not slow" $(TESTS)

lint: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(RUN)
	@$(PY) -m pip install -q -r docs/requirements.txt
	$(PY) -m sphinx -W --keep-going -E -q docs build/docs

bench: $(DEV) weights
	$(PY) benchmarks/run_all.py

screenshots: $(DEV) weights chromium
	$(PY) tests/browser/screenshots.py

weights: $(RUN)
	@$(PY) -m imitation.models.embedded.weights --all

sandbox:
	@sh deploy/install.sh sandbox

vllm:
	@sh deploy/install.sh vllm $(VENV)-vllm

chromium: $(DEV)
	@sh deploy/install.sh browser $(PY)

$(RUN):
	@sh deploy/install.sh environment $(VENV)
	@rm -f $(VENV)/.run-* && touch $@

$(DEV): $(RUN)
	$(PY) -m pip install -q -r requirements-dev.txt
	@rm -f $(VENV)/.dev-* && touch $@

lock: $(DEV)
	PYTHON=$(PY) sh deploy/lock.sh

clean:
	rm -rf $(VENV) $(VENV)-vllm .mypy_cache .ruff_cache .pytest_cache screenshots

clean-cache: $(RUN)
	@$(PY) deploy/clean_cache.py

.PHONY: help demo test test-fast lint docs bench screenshots weights chromium sandbox vllm lock clean clean-cache
