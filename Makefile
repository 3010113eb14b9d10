# Each target makes .venv when it is missing or older than the requirements, and installs into it.
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Recorded traffic where there is some, the calibrated synthetic market elsewhere: make demo REPLAY=FILE, or REPLAY= for none.
WIRESTAMP_RECORDINGS ?= ../shared/data
REPLAY ?= $(firstword $(wildcard $(WIRESTAMP_RECORDINGS)/binance/spot_btcusdt_20240808.gz))
DEMO ?=

# What is ours: a strategy that somebody tries out in this folder is not.
CODE := bot capture crosscheck journal market review sandbox strategies venues wirestamp benchmarks tests

.PHONY: help install demo test check bench clean system-deps

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wirestamp needs Python 3.11 or later, this is %s" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

install: $(VENV)/.installed  ## make .venv and install wirestamp with its development tools into it

demo: $(VENV)/.installed  ## a local exchange and a trader over TLS, then where every microsecond went
	@$(BIN)/wirestamp demo $(if $(REPLAY),--replay $(REPLAY)) $(DEMO)

test: $(VENV)/.installed  ## all tests; skips, with the reason, what needs absent programs, rights or recordings
	@$(BIN)/python -m pytest

check: $(VENV)/.installed  ## lint, formatting, types, layers
	@$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench  ## tick-to-trade, throughput, decoding and capturing packets, beside the known tools
	@$(BIN)/python benchmarks/tick_to_trade.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/ring.py

system-deps:  ## Debian packages that the whole test suite uses (needs root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		gcc libc6-dev libssl-dev iproute2 openssl tcpdump tshark tcpreplay util-linux >/dev/null

clean:  ## remove what the targets above made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-data
