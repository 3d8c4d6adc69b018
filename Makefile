# Everything that people do with this project, one target each. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),target)
AGENTCORE := $(abspath $(TARGET))/release/agentcore
DOCUMENT_AGENT := $(abspath $(TARGET))/release/document-agent
# What the document agent reads by default. It is no part of its project, so its session is shown it.
CARGO_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
# Where `make run` keeps its configuration and its state: a folder of its own, so that nothing in
# the checkout changes.
RUN := $(TARGET)/run
PORT := 8080

# The official SDK and what tests need beside it, in a virtual environment of our own.
VENV := $(TARGET)/venv
VENV_READY := $(VENV)/.ready
# Where Rust tests find agents' interpreters, one with the official SDK and one with ours, and the
# identity provider.
TEST_TOOLS = AGENTCORE_TEST_PYTHON=$(abspath $(VENV))/bin/python \
  AGENTCORE_TEST_PACKAGE_PYTHON=$(abspath $(PACKAGE_VENV))/bin/python \
  AGENTCORE_TEST_JS_MODULES=$(JS_MODULES)
AWSCLI_VENV := $(TARGET)/awscli-venv
AWSCLI_VENV_READY := $(AWSCLI_VENV)/.ready
JS := $(TARGET)/js
JS_READY := $(JS)/.ready
JS_MODULES = $(abspath $(JS))/node_modules
# The tour with AWS's SDK for Rust: a workspace of its own, in a target folder of its own.
RUST_TOUR := $(TARGET)/aws-tour/debug/aws-tour
# For how long `make test-long` lets the fuzzer look, for each target.
FUZZ_SECONDS ?= 180
BENCH_VENV := $(TARGET)/bench-venv
BENCH_VENV_READY := $(BENCH_VENV)/.ready

include crates/python/python.mk

.PHONY: help run test test-rust test-aws test-long bench fmt lint docs js-modules

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: ## Build the document agent, launch it on the host at port 8080 (or PORT=...), and print what to try
	cargo build --release -p agentcore -p document-agent
	mkdir -p $(RUN)
	cd $(RUN) && $(AGENTCORE) configure -e $(DOCUMENT_AGENT) -n document_agent -ni
	@printf '%s\n' '' 'The document agent builds a full-text index in the background. In another terminal:' \
	  "  curl -X POST http://localhost:$(PORT)/invocations -d '{\"action\": \"index\"}'" \
	  '  curl http://localhost:$(PORT)/ping' \
	  "  curl -X POST http://localhost:$(PORT)/invocations -d '{\"action\": \"progress\"}'" \
	  "  curl -X POST http://localhost:$(PORT)/invocations -d '{\"action\": \"search\", \"query\": \"graceful shutdown\"}'" ''
	@cd $(RUN) && exec $(AGENTCORE) launch -l --port $(PORT) --env CARGO_HOME=$(CARGO_FOLDER) --read-only $(CARGO_FOLDER)/registry/src

test: lint docs test-rust test-aws test-python ## Format, lint, unit, integration and doc tests, docs without warnings, boto3, Python tests

test-rust: $(VENV_READY) package js-modules
	$(TEST_TOOLS) cargo test --workspace --quiet

test-aws: $(VENV_READY) $(AWSCLI_VENV_READY) js-modules ## AWS's own clients against a host: boto3, its command line, its SDK for Rust and, where npm is, for JavaScript
	cargo build --quiet -p agentcore -p document-agent
	cargo build --quiet --locked --manifest-path tests/rust/Cargo.toml --target-dir $(TARGET)/aws-tour
	cd tests/python/aws && AGENTCORE=$(abspath $(TARGET))/debug/agentcore \
	  DOCUMENT_AGENT=$(abspath $(TARGET))/debug/document-agent AWS_CLI=$(abspath $(AWSCLI_VENV))/bin/aws \
	  AWS_JS_MODULES=$(JS_MODULES) AWS_RUST_TOUR=$(abspath $(RUST_TOUR)) $(abspath $(VENV))/bin/python -m pytest

# Tests that need these skip themselves where there is no npm.
js-modules:
	if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(JS_READY); fi

test-long: $(VENV_READY) package js-modules ## The tests that take minutes: rounds of killed hosts, many more random histories, and the fuzzer
	PROPTEST_CASES=200000 cargo test --quiet -p agentcore-runtime --lib random_histories
	PROPTEST_CASES=20000 cargo test --quiet -p bedrock-agentcore --test it registry_does
	$(TEST_TOOLS) cargo test --workspace --quiet -- --ignored
	tests/fuzz/run $(FUZZ_SECONDS)

bench: $(BENCH_VENV_READY) bench-package ## Measure against bare hyper, the official Python SDK and nginx; write docs/benchmarks.md
	cargo build --profile dist -p agentcore-bench -p agentcore
	$(TARGET)/dist/agentcore-bench sdk --python $(abspath $(BENCH_VENV))/bin/python
	$(TARGET)/dist/agentcore-bench host --python $(abspath $(BENCH_VENV))/bin/python
	$(TARGET)/dist/agentcore-bench python --python $(abspath $(BENCH_VENV))/bin/python \
	  --package $(abspath $(PACKAGE_BENCH_VENV))/bin/python
	$(TARGET)/dist/agentcore-bench walls --python $(abspath $(BENCH_VENV))/bin/python
	$(TARGET)/dist/agentcore-bench durable

fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path tests/rust/Cargo.toml

lint: ## Check the format, and clippy with warnings denied
	cargo fmt --all --check
	cargo fmt --manifest-path tests/rust/Cargo.toml --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy -p agentcore-sandbox --no-default-features --lib --quiet -- -D warnings

docs: ## Build the documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

$(VENV_READY): tests/python/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(AWSCLI_VENV_READY): tests/python/requirements-awscli.txt
	python3 -m venv $(AWSCLI_VENV)
	$(AWSCLI_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(JS_READY): tests/js/package.json tests/js/package-lock.json
	mkdir -p $(JS)
	cp $^ $(JS)
	cd $(JS) && npm ci --silent --no-fund --no-audit
	touch $@

$(BENCH_VENV_READY): benches/requirements.txt
	python3 -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
