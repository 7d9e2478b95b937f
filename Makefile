# make build   burstline and what it needs, in .venv          make check   format, lint, types
# make demo    see it work (as root: live ports, too)         make bench   measure it beside its peers
# make test    run the tests (as root: live ports, too)       make docs    the documentation, in docs/_build
# make test-bench  the tests of the benches, which run each for a moment: some minutes
# make fuzz    ten million mutated packets through the parser, some minutes on two cores
# make soak    ten minutes of clones, emitted packets, drops and jumbo frames on virtual devices, as root
# make soak-export  half an hour of flow export with collectors that are killed, as root
# make lab     the tests on real NIC drivers, in a machine that QEMU emulates: some minutes, as root
# make large   24 million flows through tables for 10 million: some minutes, 3 GB of memory
VENV ?= .venv
python := $(VENV)/bin/python
sources := pyproject.toml meson.build meson.options tools/install.sh \
    $(shell find src -name '*.py' -o -name '*.py[xdi]' -o -name '*.px[di]' -o -name '*.h')
# Built again when the sources change, when DPDK comes, goes or changes, and when root may install it for the first time.
built := $(VENV)/.built-$(shell pkg-config --modversion libdpdk 2>/dev/null || echo none-$$(id -u))

# On all cores, but for `make test PYTEST_ARGS="-p no:xdist"`; `-n 0` there runs one test after the other, too.
parallel := $(if $(findstring no:xdist,$(PYTEST_ARGS)),,-n logical --maxprocesses 4)

.PHONY: build demo test test-bench fuzz soak soak-export lab large check bench docs clean
build: $(built)

$(built): $(sources)
	@PYTHON='$(PYTHON)' sh tools/install.sh $(VENV)

demo: build
	@PYTHON=$(abspath $(python)) demo/run.sh

test: build
	$(python) -m pytest $(parallel) --ignore-glob='*/test_bench_*.py' $(PYTEST_ARGS)

test-bench: build
	$(python) -m pytest -n 0 $(sort $(wildcard tests/test_bench_*.py)) $(PYTEST_ARGS)

fuzz: build
	PYTHONPATH=. $(python) tests/fuzz_parser.py --packets $(or $(PACKETS),10000000)

soak: build
	$(python) tests/soak_buffers.py --seconds $(or $(SECONDS),600)

soak-export: build
	$(python) tests/soak_export.py --seconds $(or $(SECONDS),1800)

lab: build
	$(python) -m tools.lab.run $(or $(MACHINE),nics) $(PYTEST_ARGS)

large: build
	$(python) tests/large_flow_table.py

check: build
	$(python) -m ruff format --check
	$(python) -m ruff check
	$(python) -m mypy

bench: build
	PYTHON=$(abspath $(python)) sh benchmarks/install_peers.sh
	$(python) -m burstline bench $(BENCH_ARGS)

docs: build
	@PYTHON='$(PYTHON)' sh tools/install.sh $(VENV) docs
	$(python) -m sphinx -W -b html docs docs/_build/html

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -r {} +
