# make demo | test | check | fuzz | test-targets | docs | wheels | lint | format | bench | clean. Needs python3 with pip, gcc and make; the rest goes into .venv.
# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

C_SOURCES := $(shell find cbackend tests benchmarks -name '*.[ch]' -o -name '*.def')
BUILD_INPUTS := $(C_SOURCES) pyproject.toml CMakeLists.txt cbackend/CMakeLists.txt engine/emit_cffi.py converter/wisp_converter/opcodes.py

.PHONY: demo test check fuzz test-targets docs wheels lint format bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.done
	$(BIN)/python benchmarks/demo.py

# The quick tier, about a minute; check is everything that needs no emulator.
test: $(VENV)/test.done
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --quick

check: $(VENV)/test.done
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --ignore tests/targets

# Hostile files for FUZZ_SECONDS on all cores; needs clang 19, its runtime libraries and llvm 19.
FUZZ_SECONDS ?= 1800
fuzz: $(VENV)/test.done
	$(BIN)/python tests/fuzz/seeds.py build/fuzz/seeds
	$(BIN)/python tests/fuzz/run.py build/fuzz --seconds $(FUZZ_SECONDS)

test-targets: $(VENV)/test.done
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/targets
	$(BIN)/python tests/targets/run.py
	$(BIN)/python tests/targets/counts.py

# The reference of the Python API, from the docstrings: build/docs/index.html.
docs: $(VENV)/test.done
	$(BIN)/python -W error -m pdoc --output-directory build/docs wisp wisp_converter '!wisp_converter\..*'

# make wheels PLATFORM=win_amd64: only that one. They come into dist.
wheels: $(VENV)/wheels.done
	$(BIN)/python engine/build_wheels.py $(addprefix --platform ,$(PLATFORM))

bench: $(VENV)/bench.done
	$(BIN)/python benchmarks/peers.py

lint: $(VENV)/lint.done
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(filter-out %.def,$(C_SOURCES))

format: $(VENV)/lint.done
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(filter-out %.def,$(C_SOURCES))

clean:
	rm -rf build dist $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Debian splits ensurepip off python3; the outer pip then fills the environment.
$(VENV)/created.done:
	$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -q pip
	touch $@

$(VENV)/tools.done: $(VENV)/created.done pyproject.toml
	@echo "Installing build tools into $(VENV)"
	$(BIN)/python -m pip install -q "scikit-build-core>=0.10" "cffi>=1.15" "cmake>=3.20" ninja
	touch $@

$(VENV)/demo.done $(VENV)/test.done $(VENV)/bench.done: $(VENV)/%.done: $(VENV)/tools.done $(BUILD_INPUTS)
	@echo "Building and installing wisp[$*] into $(VENV)"
	$(BIN)/python -m pip install -q --no-build-isolation --editable '.[$*]'
	touch $@

$(VENV)/wheels.done: $(VENV)/tools.done
	$(BIN)/python -m pip install -q ziglang==0.17.1 "scikit-build-core>=1.1"
	touch $@

$(VENV)/lint.done: $(VENV)/created.done pyproject.toml
	$(BIN)/python -m pip install -q "ruff==0.14.*" "clang-format==19.1.7" "mypy==2.4.*" "numpy>=2.2"
	touch $@
