# Everything runs from .venv, which `make setup` builds; nothing has to be activated or on PATH.
# Two processes, each with whole files: the projects that end-to-end tests share are trained once in each.
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: help setup demo test lint bench docs lock sbom clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-7s%s\n", $$1, $$2 }' Makefile

setup:  ## make .venv from requirements.lock (the targets below do it by themselves)
	@sh scripts/setup.sh

demo: setup  ## make a small project in demo/ and run its whole pipeline
	@test -e demo || .venv/bin/imagegate init demo --demo
	.venv/bin/imagegate run demo/imagegate.yaml

test: lint  ## lint, then run all tests
	.venv/bin/pytest $(PYTEST_ARGS)

lint: setup  ## check style, types and which package may import which
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy pipeline components scripts
	.venv/bin/lint-imports --no-cache --no-logo

bench: setup  ## measure
	.venv/bin/python -m benchmarks

docs: setup  ## write docs/configuration.md anew
	.venv/bin/python -m scripts.document

lock: setup  ## resolve pyproject.toml anew into the lock files (UPGRADE=--upgrade: to newer versions)
	@UPGRADE=$(UPGRADE) sh scripts/lock.sh

sbom: setup  ## write sbom.cdx.json: the packages of .venv and their licences (CycloneDX)
	.venv/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
	  --output-file sbom.cdx.json .venv/bin/python

clean:  ## remove what the tools cached; .venv and demo stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
