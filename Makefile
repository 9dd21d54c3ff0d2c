# What people do here. `make help` lists it.

# Where given, these win over the configuration: make run DATA=/srv/ingram LISTEN=127.0.0.1:9000
DATA ?=
LISTEN ?=
BENCH ?=
KILLS ?= 100
ROUNDS ?= 2
# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help run build test lint deny fmt bench crash faults docs-check

help: ## Lists the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: build ## Builds the server and starts it on 127.0.0.1:8080 with its data in ./data.
	@echo 'Built $(TARGET)/release/ingram, the server with everything it needs. It says next where it listens and what to type.'
	@exec $(TARGET)/release/ingram serve $(if $(DATA),--data $(DATA)) $(if $(LISTEN),--listen $(LISTEN))

build: ## Builds the server: target/release/ingram.
	@cargo build --release -p ingram

test: ## Installs what the tests need and lack, then runs the lints and all tests.
	@scripts/test-prerequisites.sh
	@scripts/test-peers.sh
	@$(MAKE) --no-print-directory lint
	@cargo nextest run --workspace

lint: ## Checks the format and the lints of all code.
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings

deny: ## Checks licences, sources and known vulnerabilities of what the program is built with. Needs cargo-deny.
	@cargo deny check

fmt: ## Formats all code.
	@cargo fmt --all

bench: build ## Measures the release build, prints a table and writes bench/RESULTS.md. BENCH='--full' as the targets are stated.
	@cargo run --release -p bench -- $(BENCH)

faults: ## Lets the server die around calls of tools, at every named point, and prints what came of it: ROUNDS=2 for each database.
	@cargo build -p ingram
	@ROUNDS=$(ROUNDS) cargo test -p e2e --test e2e -- --ignored --exact tools::faults::counted_deaths_around_calls --nocapture

crash: ## Kills the server again and again under streaming runs and prints what was lost: KILLS=100 for each database.
	@cargo build -p ingram
	@INGRAM_CRASH_KILLS=$(KILLS) cargo test -p e2e --test e2e -- --ignored --exact kills::many_kills --nocapture

docs-check: ## Checks that the documents are true: links, names, the quickstart, the documentation of the code.
	@cargo build -p ingram
	@cargo nextest run -p testkit -p e2e -E 'binary(house) + test(/^quickstart::/)'
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
