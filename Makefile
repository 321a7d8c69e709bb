# Two targets do everything on a fresh Debian machine with Go: `make demo` and `make test`. `make` alone lists them all.

SHELL       := /bin/bash
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
KILLS       ?= 50
FUZZTIME    ?= 30s

# Debian keeps the mosquitto broker in /usr/sbin, which is not on every user's path.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

.DEFAULT_GOAL := help
.PHONY: help demo test need build bench kill fuzz lint fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a broker, two phones and an SMS network on loopback; the whole method told live
	go run ./cmd/godwit demo

test: need ## install what the tests need (only what is missing), run every test with -race, and look through the brokers' logs
	@logs="$$(mktemp -d)" && trap 'rm -rf "$$logs"' EXIT && set -x && \
	GODWIT_TEST_NO_SKIP=1 GODWIT_TEST_LOGS="$$logs" go test -race -timeout 10m ./... && .ci/logs "$$logs"

need: ## install what the tests need, and nothing else
	@.ci/need

build: ## build bin/godwit
	go build -trimpath -o bin/godwit ./cmd/godwit

bench: need build ## compare with mosquitto under load, side by side; prints the table of docs/performance.md
	go run ./clienttest/load compare --godwit bin/godwit --dir bin --mqtt 5 --receipts none --duration 4s --rates 2000,10000

kill: ## the long kill -9 loop: KILLS (50) crashes of the store, and of a broker under load on both versions and with SMS; nothing may be lost
	go test -count=1 -timeout 30m -v -run '^TestKill' ./store/badger ./clienttest -args -godwit.kills=$(KILLS)

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@.ci/fuzz $(FUZZTIME)

lint: ## gofmt, go vet, staticcheck and the project's own checks
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted (make fmt does it): $$unformatted" >&2; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@.ci/check

fmt: ## format the Go files
	gofmt -w .

clean: ## remove what building, testing and the demo leave behind
	rm -rf bin godwit-data
	find . \( -name '*.test' -o -name '*.prof' \) -type f -delete
