# Two commands for a newcomer: `make demo` and `make test`. Each makes what it needs in .venv; a second run is fast.
PYTHON ?= python3
INPUT ?=
SECONDS ?= 60
STEP ?=
JSON ?=
VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
export UV_SYSTEM_CERTS ?= 1
export OMP_NUM_THREADS ?= 2
UV := $(VENV)/bin/uv pip install -q --python $(VENV)/bin/python -c constraints.txt
DEV_EXTRAS := media live view serve train export openvino mqtt sign table lab demo
DEV_GROUPS := build test lint docs package
CSRC := $(shell find csrc cmake -type f 2>/dev/null)

.PHONY: help dev demo demo-live test test-slow system-test soak check docs bench readme-figures gpu-check tour wheel clean
help:           ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > $(VENV)/uv.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt

# --- the development environment: everything that tests and benchmarks need --------------------------------------------
dev: $(VENV)/.dev-built      ## the environment in .venv, editable, one CUDA architecture where nvcc is

$(VENV)/.dev-packages: pyproject.toml constraints.txt | $(VENV)/bin/uv
	@echo 'Fetching packages into .venv, torch among them; nothing is printed until all are there.'
	$(UV) -r pyproject.toml $(addprefix --extra ,$(DEV_EXTRAS)) $(addprefix --group ,$(DEV_GROUPS))
	touch $@

$(VENV)/.dev-built: $(VENV)/.dev-packages setup.py CMakeLists.txt $(CSRC)
	EDGEAFF_CUDA_ARCHS=$${EDGEAFF_CUDA_ARCHS:-87-real} $(UV) --no-build-isolation --no-deps -e .
	touch $@ $(VENV)/.demo-built

# --- the demo: a small environment, CUDA off ----------------------------------------------------------------------------
$(VENV)/.demo-packages: pyproject.toml constraints.txt | $(VENV)/bin/uv
	@echo 'Fetching packages into .venv; nothing is printed until all are there.'
	$(UV) -r pyproject.toml --extra demo --group build
	touch $@

$(VENV)/.demo-built: $(VENV)/.demo-packages setup.py CMakeLists.txt $(CSRC)
	EDGEAFF_CUDA=OFF $(UV) --no-build-isolation --no-deps -e .
	touch $@

$(VENV)/.demo-live: pyproject.toml constraints.txt | $(VENV)/.demo-packages
	$(UV) -r pyproject.toml --extra live
	touch $@

demo: $(VENV)/.demo-built $(if $(filter camera:% mic:% gst:%,$(INPUT)),$(VENV)/.demo-live)   ## the main job: a face and a voice in, valence and arousal out (INPUT=path or camera:0)
	$(VENV)/bin/python examples/demo.py $(if $(INPUT),--input '$(INPUT)')

PORT ?= 9478
demo-live: $(VENV)/.demo-built ## the live page: the demo's clip in a loop, or INPUT=camera:0; open the address that it prints (PORT=9478)
	$(VENV)/bin/python examples/demo.py --live '$(PORT)' $(if $(INPUT),--input '$(INPUT)')

# --- checks -------------------------------------------------------------------------------------------------------------
test: dev                    ## all tests that are neither slow nor system
	$(VENV)/bin/python -m pytest -m "not slow and not system"

test-slow: dev               ## the long ones; commit what they write
	$(VENV)/bin/python -m pytest -m slow --timeout 3600

check: dev                   ## ruff, clang-format, words, mypy, import contract, forbidden includes, sizes, stubs, the documentation as a site
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	git ls-files '*.cc' '*.h' '*.hpp' '*.cu' '*.cuh' '*.c' '*.cpp' | xargs $(VENV)/bin/clang-format --dry-run -Werror
	$(VENV)/bin/python tests/tools/check_words.py
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python tests/tools/check_includes.py
	$(VENV)/bin/python tests/tools/check_sizes.py
	$(VENV)/bin/python tests/tools/check_spills.py
	$(VENV)/bin/python tests/tools/make_stub.py --check
	$(VENV)/bin/python tests/tools/check_api.py
	if command -v abidiff >/dev/null; then $(VENV)/bin/python tests/tools/check_abi.py; fi
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.citation-file-format --default-filetype yaml CITATION.cff
	if command -v actionlint >/dev/null; then actionlint; fi
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

.PHONY: api abi stubs
api: dev                     ## accept the public interface as it is now; lists the changes that break callers
	$(VENV)/bin/python tests/tools/check_api.py --accept

abi: dev                     ## accept the ABI of libedgeaff as it is now; needs Debian's abigail-tools
	$(VENV)/bin/python tests/tools/check_abi.py --accept

stubs: dev                   ## the types of the compiled module, edgeaff/ops/_C.pyi, from the module itself
	$(VENV)/bin/python tests/tools/make_stub.py

gpu-check:      ## on a machine with a card: build, test, sanitize, bench (STEP=one of them), with the python3 there
	STEP='$(STEP)' $(PYTHON) tests/tools/gpu_check.py

docs: dev                    ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

bench: dev                   ## every benchmark
	for script in $(filter-out benchmarks/c_events.py benchmarks/figures.py benchmarks/tensorrt_builds.py,$(shell grep -l __main__ benchmarks/*.py)); do $(VENV)/bin/python $$script || exit 1; done

readme-figures: dev          ## the numbers and tables of README and docs, from benchmarks/results
	$(VENV)/bin/python benchmarks/figures.py

tour:                        ## what a newcomer is shown, in a fresh clone of HEAD: demo, benchmark, every example, documentation; with times
	bash tests/tools/tour.sh

.PHONY: notebooks
notebooks: dev               ## run the notebooks of examples/ and store their outputs
	$(VENV)/bin/python tests/tools/run_notebooks.py

wheel: $(VENV)/.dev-packages ## wheel, sdist and bill of materials in dist/, with the full list of CUDA architectures where nvcc is
	rm -rf dist
	$(VENV)/bin/python -m build --no-isolation --outdir dist .
	$(VENV)/bin/python -m twine check --strict dist/*
	$(VENV)/bin/python tests/tools/make_sbom.py dist/*.whl

.PHONY: constraints
constraints: $(VENV)/.dev-packages ## constraints.txt anew: versions and hashes of all packages (LOCK=--upgrade takes newer ones)
	bash tests/tools/lock.sh $(LOCK)

clean:                       ## everything that was made
	rm -rf .venv build dist demo runs *.egg-info edgeaff/ops/*.so

# --- real components: PulseAudio, GStreamer's RTSP server, mosquitto ------------------------------------------------------
system-test: dev             ## the tests with real components; installs the Debian packages they need, fails where one is missing
	sh tests/tools/install_system_packages.sh
	EDGEAFF_REQUIRE=media,cv2,native $(VENV)/bin/python -m pytest -m "system and not slow" tests/system

soak: dev                    ## SECONDS in real time and the fault matrix, figures into JSON; installs the same Debian packages
	sh tests/tools/install_system_packages.sh
	$(VENV)/bin/python -m tests.soak --seconds '$(SECONDS)' $(if $(JSON),--json '$(JSON)')

.PHONY: fuzz
fuzz: dev                    ## SECONDS of changed inputs at every door (files, configurations, arguments), figures into JSON
	$(VENV)/bin/python -m tests.fuzz --seconds '$(SECONDS)' $(if $(JSON),--json '$(JSON)') --keep build/fuzz

# --- the C++ core: sanitizers, and aarch64 under qemu ---------------------------------------------------------------------
.PHONY: test-sanitize test-threads test-aarch64
test-sanitize: dev           ## the C++ tests and the C interface under the address and undefined-behavior sanitizers
	$(VENV)/bin/python -m pytest -m slow -k sanitizers tests/cpp

test-threads: dev            ## several sessions of the C interface in several threads under the thread sanitizer
	$(VENV)/bin/python -m pytest -m slow -k threads tests/cpp

test-aarch64: dev            ## the C++ tests cross-compiled for aarch64, NEON included, under qemu; installs Debian packages
	command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null || \
		(apt-get update && apt-get install -y --no-install-recommends g++-aarch64-linux-gnu qemu-user)
	$(VENV)/bin/python -m pytest -m system -k aarch64 tests/cpp

# libedgeaff, the C interface: into build/libedgeaff, or PREFIX=DIR.
PREFIX ?= $(CURDIR)/build/libedgeaff
CONFIGURE_LIBRARY := cmake -S . -DCMAKE_BUILD_TYPE=Release -DEDGEAFF_PYTHON=OFF -DEDGEAFF_CUDA=OFF -DEDGEAFF_TENSORRT=OFF -DEDGEAFF_LIBRARY=ON
.PHONY: libedgeaff libedgeaff-aarch64 test-libedgeaff
libedgeaff:     ## the C library: header, libraries, pkg-config, CMake package, bundle (PREFIX=DIR; needs CMake and a C++ compiler)
	$(CONFIGURE_LIBRARY) -B build/libedgeaff-make
	cmake --build build/libedgeaff-make --parallel
	cmake --install build/libedgeaff-make --prefix '$(PREFIX)'

libedgeaff-aarch64:          ## the same, crossed for aarch64, into build/libedgeaff-aarch64; installs a Debian package
	command -v aarch64-linux-gnu-g++ >/dev/null || (apt-get update && apt-get install -y --no-install-recommends g++-aarch64-linux-gnu)
	$(CONFIGURE_LIBRARY) -B build/libedgeaff-aarch64-make -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake
	cmake --build build/libedgeaff-aarch64-make --parallel
	cmake --install build/libedgeaff-aarch64-make --prefix '$(CURDIR)/build/libedgeaff-aarch64'

test-libedgeaff: dev         ## its tests: events equal to Python's, headers, symbols, consumers, memory, damaged bundles
	$(VENV)/bin/python -m pytest -m slow tests/capi --timeout 900

# The wheel for aarch64. TARGET_PYTHON: a Python for this processor with the minor version of the device's (Debian 12: 3.11, Debian 13: 3.13,
# JetPack 6: 3.10, JetPack 7: 3.12).
TARGET_PYTHON ?= $(VENV)/bin/python
.PHONY: wheel-aarch64 test-wheel-aarch64
wheel-aarch64: dev           ## the wheel for aarch64, cross-compiled, into dist/ (TARGET_PYTHON=python3.13); installs a Debian package
	command -v aarch64-linux-gnu-g++ >/dev/null || (apt-get update && apt-get install -y --no-install-recommends g++-aarch64-linux-gnu)
	$(VENV)/bin/python tests/tools/wheel_aarch64.py --python '$(TARGET_PYTHON)'

test-wheel-aarch64: wheel-aarch64 ## its tests under qemu with Debian's arm64 Python (3.11, 3.13); writes benchmarks/results/aarch64.json
	$(VENV)/bin/python -m tests.tools.emulate_aarch64 dist/edgeaff-*-linux_aarch64.whl

# --- TensorRT-RTX, which builds engines without a GPU ---------------------------------------------------------------------
.PHONY: test-tensorrt
test-tensorrt: dev           ## engines of both presets with TensorRT-RTX (adds 200 MB to .venv)
	$(UV) tensorrt-rtx-cu13
	EDGEAFF_REQUIRE=tensorrt,onnx,torch,native $(VENV)/bin/python -m pytest tests/backends/test_tensorrt_build.py
