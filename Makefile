# Two commands on a fresh machine with the Swift toolchain: `make run` and `make test`.

# Flags of swift build and swift test, such as SWIFT_FLAGS='-j 2'.
SWIFT_FLAGS ?=
# Settings of the broker that `make run` starts, such as RUN_FLAGS='--log-level debug'.
RUN_FLAGS ?=
# Kills of `make soak`, and further flags of Tests/Durability/kill.py, such as SOAK_FLAGS='--seed 7'.
SOAK_ROUNDS ?= 1000
SOAK_FLAGS ?=
# Flags of pytest, such as PYTEST_FLAGS='-k will'.
PYTEST_FLAGS ?=
# Flags of scripts/bench, such as BENCH_FLAGS='--only speed,latency --rounds 5'.
BENCH_FLAGS ?=

BIFROST := .build/release/bifrost
# All but what scripts/protos makes.
SWIFT_FORMAT_PATHS := Package.swift $(filter-out Sources/BifrostAPI, $(wildcard Sources/*)) Tests Examples

# One step after the other: two builds at a time would wait for each other's lock.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run build test test-swift test-python lint format protos docs bench soak clean \
  install-build install-test install-bench

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Install what is missing, build, and serve MQTT on 127.0.0.1:1883.
	exec $(BIFROST) serve --data-dir $(CURDIR)/data $(RUN_FLAGS)

build: install-build ## Build .build/release/bifrost.
	swift build --configuration release --product bifrost $(SWIFT_FLAGS)

test: test-swift test-python ## Install what is missing and run every test.

test-swift: install-build ## Run the tests in Swift, one at a time (debug: overflow traps).
	swift test --no-parallel $(SWIFT_FLAGS)

test-python: install-test build ## Run the tests of the binary with clients in Python.
	.venv/bin/python -m pytest $(PYTEST_FLAGS) Tests/Interop
	.venv/bin/python -m pytest $(PYTEST_FLAGS) Tests/Conformance
	.venv/bin/python -m pytest $(PYTEST_FLAGS) Tests/Durability
	.venv/bin/python -m pytest $(PYTEST_FLAGS) Tests/Backends

soak: install-test build ## Kill the broker SOAK_ROUNDS times under load; say what was lost.
	.venv/bin/python Tests/Durability/kill.py --binary $(BIFROST) --rounds $(SOAK_ROUNDS) \
	  $(SOAK_FLAGS)

lint: install-test ## Check format, imports, Protos, docs and the page of conformance.
	swift-format lint --strict --parallel --recursive $(SWIFT_FORMAT_PATHS)
	scripts/check-imports
	scripts/check-sources
	scripts/protos --check
	.venv/bin/protolint lint -config_path .protolint.yaml Protos
	.venv/bin/python scripts/conformance --check

format: ## Format the Swift sources in place.
	swift-format format --in-place --parallel --recursive $(SWIFT_FORMAT_PATHS)

protos: ## Make the Swift of Protos: needs protoc.
	scripts/protos

docs: build install-test ## Write the pages that are made from the sources.
	$(BIFROST) config --docs > docs/CONFIGURATION.md
	.venv/bin/python scripts/conformance --write

bench: install-bench build ## Measure beside mosquitto and nats-server; write docs/BENCHMARKS.md.
	scripts/bench --binary $(BIFROST) $(BENCH_FLAGS)

clean: ## Remove what was built and installed here.
	rm -rf .build .venv .venv-bench

install-build:
	@scripts/install build

install-test:
	@scripts/install test

install-bench:
	@scripts/install bench
