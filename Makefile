# `make help` lists the targets.
VENV := target/venv
PYTHON := $(VENV)/bin/python
AZURITE := target/azurite
BINARY := target/debug/ashiato
HADOOP_VENV := target/hadoop-venv
BENCH_VENV := target/bench/venv
COLLECTOR_VENV := target/bench/collector-venv
FUZZ_SECONDS := 1800
# Promises that need no server and few seconds.
QUICK := architecture slt promises_check promises_clauses promises_docs promises_examples \
	promises_exit_codes promises_names promises_numbers promises_output promises_quarantine \
	promises_rerun promises_source promises_sql promises_tables promises_values

.PHONY: help setup build run quick test docs interop test-hadoop check format release bench bench-peers bench-collector fuzz fuzz-decode fuzz-sql fuzz-events miri

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is needed beyond cargo: a C compiler, Java, Python and Node with pinned packages
	./.ci/setup
	$(MAKE) $(VENV)/.ready $(AZURITE)/.ready $(HADOOP_VENV)/.ready

$(VENV)/.ready: tests/interop/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt
	touch $@

build: ## Build the binary for development
	cargo build

run: build ## Run the main job on the bundled example: tables appear below out/
	$(BINARY) run sql/action_log --date 2026-11-21

$(AZURITE)/.ready: Makefile
	mkdir -p $(AZURITE)
	npm install --no-audit --no-fund --silent --prefix $(AZURITE) azurite@3.37.0
	touch $@

quick: ## The inner loop: unit tests, and the promises that need no server
	cargo test --lib
	cargo test --test tests -- $(QUICK)

docs: ## Write anew what documents take from the code
	ASHIATO_WRITE_DOCS=1 cargo test --test tests promises_docs::the_page_of

test: setup ## All tests, after what they need is installed: the crate's, then the tables read by other tools
	cargo test
	$(MAKE) interop
	$(MAKE) test-hadoop

interop: build $(VENV)/.ready ## Run both examples and compare every table with DuckDB and pyarrow
	rm -rf target/interop
	ASHIATO_OUT=target/interop $(BINARY) run --quiet sql/action_log --date 2026-11-21
	ASHIATO_OUT=target/interop $(BINARY) run --quiet sql/access_log --date 2026-11-21
	$(PYTHON) tests/interop/compare.py --fixture fixtures/action_log \
		--access-log fixtures/access_log --out target/interop

$(HADOOP_VENV)/.ready: tests/hadoop/requirements.txt
	python3 -m venv $(HADOOP_VENV)
	$(HADOOP_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

test-hadoop: build $(HADOOP_VENV)/.ready ## Have Spark read tables through Hive's own SerDes (needs Java 17)
	rm -rf target/hadoop
	$(HADOOP_VENV)/bin/python tests/hadoop/check.py $(BINARY) target/hadoop

check: ## What CI runs: format, lints with warnings denied, all tests
	cargo fmt --check
	cargo clippy --all-targets -- --deny warnings
	$(MAKE) test

format: ## Format the code
	cargo fmt

release: ## Build the binary for production (takes about 20 minutes the first time)
	cargo build --release

bench: ## Measure each stage by itself (criterion; builds for production first)
	cargo bench

$(BENCH_VENV)/.ready: benches/peers/requirements.txt
	python3 -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-peers: release $(BENCH_VENV)/.ready ## Compare with DuckDB, chDB, Polars, DataFusion (BENCH="--runs 3 --scaling")
	$(BENCH_VENV)/bin/python benches/peers/run.py $(BENCH)

$(COLLECTOR_VENV)/.ready: benches/collector/requirements.txt
	python3 -m venv $(COLLECTOR_VENV)
	$(COLLECTOR_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-collector: release $(COLLECTOR_VENV)/.ready ## The collector under load, beside nginx; needs both and redis-server (BENCH="--only aim")
	$(COLLECTOR_VENV)/bin/python benches/collector/run.py $(BENCH)

fuzz: fuzz-decode fuzz-sql ## Both decoders on arbitrary bytes, then whole runs with generated SQL, half an hour in all (nightly, cargo-fuzz)

# Each takes half of the time.
fuzz-decode:
	mkdir -p tests/fuzz/corpus/decode
	cargo +nightly fuzz run --fuzz-dir tests/fuzz decode \
		tests/fuzz/corpus/decode tests/fuzz/seeds -- \
		-dict=tests/fuzz/json.dict -max_total_time=$$(( $(FUZZ_SECONDS) / 2 )) -max_len=4096

fuzz-sql:
	ASHIATO_FUZZ_SECONDS=$$(( $(FUZZ_SECONDS) / 2 )) cargo test --lib run::sql_fuzz -- --nocapture

fuzz-events: ## What a collector is sent, as arbitrary bytes, for half an hour
	mkdir -p tests/fuzz/corpus/events
	cargo +nightly fuzz run --fuzz-dir tests/fuzz events tests/fuzz/corpus/events -- \
		-dict=tests/fuzz/json.dict -max_total_time=$(FUZZ_SECONDS) -max_len=4096

miri: ## The decoder's unsafe parts under Miri (nightly, its component miri)
	cd tests/fuzz && MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri run --bin seeds
