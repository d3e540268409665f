# Everything runs from .venv, which `make setup` builds. You need not activate it or change PATH.
# Two processes take whole groups of tests in the order of tests/conftest.py, which puts the longest first.
PYTEST_ARGS ?= -n 2 --dist loadgroup --no-loadscope-reorder

FAULTS ?= tests/faults

.PHONY: help setup demo test test-slow engines faults reliability lint bench docs lock audit sbom clean

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-11s%s\n", $$1, $$2 }' Makefile

setup:  ## build .venv from requirements.lock (the targets below do this when needed)
	@sh scripts/setup.sh

demo: setup  ## create a small project in demo/ and run the whole pipeline on it
	@test -e demo || .venv/bin/imagegate init demo --demo
	.venv/bin/imagegate run demo/imagegate.yaml

test: lint  ## run lint, then the tests
	.venv/bin/pytest $(PYTEST_ARGS)

test-slow: setup  ## run the tests that `make test` leaves out, but those of `make faults`
	.venv/bin/pytest $(PYTEST_ARGS) -m slow --ignore=tests/faults

# In one process: each engine is started once, and on two cores a second one would only be in its way. -rP prints the
# seconds of the stages on each, and the table of kills.
engines: setup  ## run small projects on Flink, Spark and Prism (needs Java, Maven and Go)
	.venv/bin/pytest -rP -m engines tests/engines

# In parts: make faults FAULTS=tests/faults/test_soak.py
faults: setup  ## break everything: kills, disks, clocks, files, stores, many runs (FAULTS=FILE: a part)
	.venv/bin/pytest $(PYTEST_ARGS) -m "" $(FAULTS)

reliability: setup  ## run the tests that docs/reliability.md names for its promises
	.venv/bin/pytest $(PYTEST_ARGS) -m "" $$(.venv/bin/python -m scripts.promises)

lint: setup  ## check style, types, and which package may import which
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy pipeline components scripts
	.venv/bin/lint-imports --no-cache --no-logo

bench: setup  ## run the benchmarks (QUICK=1: only see that they work)
	.venv/bin/python -m benchmarks $(if $(QUICK),--quick)

docs: setup  ## generate docs/configuration.md
	.venv/bin/python -m scripts.document

lock: setup  ## update the lock files from pyproject.toml (UPGRADE=--upgrade selects newer versions)
	@UPGRADE=$(UPGRADE) sh scripts/lock.sh

audit: setup  ## look for known vulnerabilities of the locked packages (needs the network)
	@sh scripts/audit.sh

sbom: setup  ## write sbom.cdx.json, a list of the packages in .venv and their licences (CycloneDX)
	.venv/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
	  --output-file sbom.cdx.json .venv/bin/python

clean:  ## remove the caches of tools, but not .venv, .python and demo
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . \( -path ./.venv -o -path ./.python \) -prune -o -name __pycache__ -type d -exec rm -rf {} +
