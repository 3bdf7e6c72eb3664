# `make test` runs every test; `make check` runs what is judged without running anything. CI calls both (.ci/run).

SOAK_MINUTES ?= 10

.PHONY: test soak test-socketio check fmt build loadtest churn

# The runner is faster than `cargo test` and keeps tests apart; without it, and without a way to get it, `cargo test` does.
test:
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest || true
	cargo test --workspace --doc --quiet
	cargo run --quiet -- test
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --workspace; else cargo test --workspace --all-targets; fi

# The long versions: targets by the hundred thousand, floods, slow clients, failing applications, and memory under churn for
# SOAK_MINUTES. One line each; slowhttptest takes part where it is installed.
soak:
	cargo test --test it --no-run
	SOAK_MINUTES=$(SOAK_MINUTES) cargo test --quiet --test it soak -- --ignored --nocapture --test-threads=1

# Sockets with a real Socket.IO server and client, which `npm` installs; `make test` skips these without it, and says so.
test-socketio:
	cd tests/node && npm ci --silent --no-audit --no-fund
	GATEWARDEN_SOCKETIO=1 cargo test --test it sockets::real

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

fmt:
	cargo fmt --all

# The binary to deploy: target/dist/gatewarden.
build:
	cargo build --profile dist --workspace

# What a request costs on this machine, beside the floor, nginx, HAProxy and Envoy, which it installs: about a quarter of an hour.
# `make loadtest ARGS=--quick` is a try of two minutes.
loadtest: build
	loadtest/setup.sh
	$${CARGO_TARGET_DIR:-target}/dist/loadtest $(ARGS)

# Rule files swapped under load: no request may fail, none may be judged by half of two sets.
churn: build
	$${CARGO_TARGET_DIR:-target}/dist/loadtest --churn
