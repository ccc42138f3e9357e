# The commands of the project. Everything runs on Debian 12 with Rust from rustup; `make deps` installs the rest.

CARGO ?= cargo
# Profile of the tests: optimised as what is shipped, without the link-time optimisation that takes minutes.
PROFILE ?= quick
# How many of the behaviour tests run at a time: most of them only wait for a server that boots, or for a time to pass.
THREADS ?= 4
# How many random kills `make test-kills` makes.
KILLS ?= 1000
# How often `make fuzz` executes each target, and which: all of them, or TARGETS=request.
RUNS ?= 1000000
TARGETS ?=

# What the tests and the benchmarks run: the servers behind Vestibule, the peers beside it, and a load generator.
PROGRAMS = puma unicorn thin passenger passenger-config bundle rails systemd-analyze ruby wrk nginx haproxy caddy \
  curl sha256sum chromium slowhttptest ab python3 pebble nghttp h2load testssl openssl certutil wfuzz
PACKAGES = puma unicorn thin passenger ruby-rack ruby-bundler ruby-railties ruby-actioncable systemd wrk nginx-light haproxy caddy \
  curl ca-certificates coreutils chromium slowhttptest apache2-utils python3 python3-venv \
  pebble nghttp2-client testssl.sh openssl libnss3-tools groff-base wfuzz

# Clients in Python and a corpus of requests, pinned by hash, where the tests find them: nothing outside of this tree.
PYTHON = target/python

.PHONY: build test test-kills test-slow conformance fuzz lint doc bench microbench deps programs

build:
	$(CARGO) build --release

## Every test: the crates' own, then the behaviour of the real binary. Nothing is skipped.
test: deps
	$(CARGO) test --workspace --profile $(PROFILE) --doc
	$(CARGO) test --workspace --profile $(PROFILE) --no-fail-fast --lib --bins
	$(CARGO) test --profile $(PROFILE) --no-fail-fast -p vestibule-process --test orphans
	$(CARGO) test --profile $(PROFILE) --no-fail-fast -p vestibule-acme --test authority
	$(CARGO) test --profile $(PROFILE) --no-fail-fast --test fuzz
	THREADS=$(THREADS) tests/run-behaviour $(CARGO) test --profile $(PROFILE) --test behaviour

## Random kills of real servers under load: no POST may be executed twice.
test-kills: deps
	VESTIBULE_KILLS=$(KILLS) $(CARGO) test --profile $(PROFILE) --test behaviour random_kills -- --nocapture

## What takes minutes: slow attacks, uploads and downloads at their full length, twenty restarts of each server in a row, a leak over
## five minutes, requests of 50 seconds, a thousand reloads; a short form of each is in `make test`.
test-slow: deps
	VESTIBULE_SLOW=1 VESTIBULE_RESTARTS=20 $(CARGO) test --profile $(PROFILE) --test behaviour -- --nocapture \
	  slow_attacks buffering::slow_clients keeper:: restart_https:: reload::load

## TLS and HTTP/2 as h2spec, sslyze and testssl.sh see them; writes docs/tls-report.md. Some minutes; wants Go, for h2spec.
conformance: deps
	$(CARGO) build --profile $(PROFILE)
	PROFILE=$(PROFILE) tests/conformance/run

## The fuzz targets (tests/fuzz): about 15 minutes of CPU. Installs cargo-fuzz and a C++ compiler where they are missing.
fuzz:
	RUNS=$(RUNS) tests/fuzz/run $(TARGETS)

## Formatting, clippy and the documentation, with warnings denied.
lint: doc
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

## nginx, HAProxy, Caddy and Vestibule side by side; `make bench SUITE=small` for a part of it. VESTIBULE_SLOW_SCALE=5 has the
## slow clients send 5 MB and take 20 MB each.
bench: deps
	$(CARGO) bench --bench compare -- $(SUITE)

## Routing, heads and the hold, each by itself.
microbench:
	$(CARGO) bench -p vestibule-config -p vestibule-http2 -p vestibule-proxy -p vestibule-upstream --bench routes --bench hpack --bench connection --bench head --bench hold

## Installs what is missing, with apt (as root or through sudo) and with pip; says what is missing where it cannot.
deps: programs $(PYTHON)/done

programs:
	@missing=""; for program in $(PROGRAMS); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v $$program >/dev/null 2>&1 || missing="$$missing $$program"; \
	done; \
	ruby -e 'require "rack"' >/dev/null 2>&1 || missing="$$missing rack"; \
	ruby -e 'require "action_cable"' >/dev/null 2>&1 || missing="$$missing action_cable"; \
	[ -e $(PYTHON)/done ] || python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$$missing venv"; \
	[ -z "$$missing" ] && exit 0; \
	echo "missing:$$missing"; \
	as_root=""; [ "$$(id -u)" = 0 ] || as_root="sudo"; \
	if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$$as_root" ] && ! command -v sudo >/dev/null 2>&1; }; then \
	  echo "install these Debian packages, then try again: $(PACKAGES)" >&2; exit 1; \
	fi; \
	$$as_root apt-get update -q && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(PACKAGES) || \
	{ echo "apt-get failed; the tests need: $(PACKAGES)" >&2; exit 1; }

# The environment is made anew when a pin changes. pip asks the index that it is configured with, and gets nothing that
# has another hash than the one in the file.
$(PYTHON)/done: tests/python/clients.txt tests/python/redbot.txt tests/python/corpus.txt | programs
	@rm -rf $(PYTHON) && mkdir -p $(PYTHON) && \
	python3 -m venv $(PYTHON) && \
	$(PYTHON)/bin/pip install -q --require-hashes --only-binary :all: -r tests/python/clients.txt && \
	$(PYTHON)/bin/pip install -q --require-hashes --only-binary :all: --no-binary sniffpy --no-build-isolation \
	  -r tests/python/redbot.txt && \
	$(PYTHON)/bin/pip download -q --require-hashes --no-deps --no-binary :all: --no-build-isolation \
	  -d $(PYTHON)/source -r tests/python/corpus.txt && \
	mkdir $(PYTHON)/corpus && tar -xzf $(PYTHON)/source/*.tar.gz --strip-components 1 -C $(PYTHON)/corpus && \
	touch $@ || \
	{ echo "python3 -m venv or pip failed; the tests need what tests/python/*.txt name, under $(PYTHON)" >&2; exit 1; }
