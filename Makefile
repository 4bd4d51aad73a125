# make demo   a room on http://127.0.0.1:8080, over two pods that one may kill
# make run    one gateway with the same page, and no more
# make test   everything that is checked, after installing what is missing
# make soak   three pods and 2,000 clients for half an hour, while all that is under them breaks
# make test-soak   the same in a minute, which is a part of make test
# make soak-rooms   the tests that break Redis and pods, for longer

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BIN     := $(CURDIR)/bin/roompass
DEMO    := $(CURDIR)/bin/demo
OUT     ?= $(CURDIR)/web/e2e/out
NPM_CI  := npm ci --no-audit --no-fund

.PHONY: demo run build build-fast build-demo generate lint test test-rules test-go test-soak test-web test-e2e tools soak soak-rooms bench

# ARGS are flags of the demo, as ARGS='--pods 3' or ARGS=--help.
demo: build build-demo
	.ci/tools demo
	@exec $(DEMO) --roompass $(BIN) $(ARGS)

run: build
	$(BIN) serve --dev

# No C library, no path of the machine that built it: the same source makes the
# same file. What looks at the code is built in this way too, so that a package is
# compiled once for all of them.
STATIC := CGO_ENABLED=0 GOFLAGS=-trimpath

build:
	$(STATIC) go build -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/roompass

# RSA by BoringCrypto, which signs more tokens a second than Go's own: BENCHMARKS.md, "signing". It takes a
# C compiler here, and this C library or a newer one where it runs.
build-fast:
	CGO_ENABLED=1 GOFLAGS=-trimpath GOEXPERIMENT=boringcrypto go build -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)-fast ./cmd/roompass

build-demo:
	$(STATIC) go build -o $(DEMO) ./deploy/demo

generate: web/node_modules/.package-lock.json
	go generate ./...

# In the order in which a mistake is found soonest.
test: tools lint test-rules test-go test-soak test-web test-e2e

tools:
	.ci/tools

lint:
	@unformatted=$$(find . -name node_modules -prune -o -name '*.go' -exec gofmt -l {} +); \
	if [ -n "$$unformatted" ]; then echo "not formatted; run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(STATIC) go vet -tags soak ./...
	$(STATIC) go tool staticcheck -tags soak ./...

test-rules:
	promtool check rules deploy/prometheus/roompass.rules.yml
	promtool test rules deploy/prometheus/roompass.rules.test.yml

# Fuzz targets run here with their seeds. What takes longest begins first; most tests wait, so
# that more of them run at a time than there are processors.
test-go:
	CGO_ENABLED=1 go test -race -vet=off -parallel 4 -timeout 12m ./rooms ./cmd/roompass ./...

test-soak:
	$(STATIC) go test -tags soak -count=1 -timeout 12m -run '^TestBrief$$' ./cmd/roompass/soak

test-web: web/node_modules/.package-lock.json
	cd web && npx --no-install tsc --noEmit
	cd web && node --test client/*.test.mjs

# Browser tests mostly wait, so two files run at a time; but for those that have many sockets or calls.
E2E       := $(notdir $(wildcard web/e2e/*.test.mjs))
E2E_ALONE := cluster.test.mjs front.test.mjs recipes.test.mjs

test-e2e: build build-demo web/node_modules/.package-lock.json web/e2e/node_modules/.package-lock.json
	cd web/e2e && export ROOMPASS_BIN='$(BIN)' ROOMPASS_DEMO_BIN='$(DEMO)' OUT='$(OUT)' && \
	node --test --test-concurrency=2 $(filter-out $(E2E_ALONE),$(E2E)) && node --test --test-concurrency=1 $(E2E_ALONE)

# npm writes this file when it has installed what the lock file says.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && $(NPM_CI)
	@touch $@

# The whole product, from outside: cmd/roompass/soak says what is broken and what is checked. A run
# prints its seed; SEED=n has the same faults again. TTL is how long a token lives. The first run takes
# some minutes more: it builds Go's standard library with a clock that can be set wrong.
DURATION ?= 30m
CLIENTS  ?= 2000
TTL      ?= 30s

soak: tools
	DURATION='$(DURATION)' CLIENTS='$(CLIENTS)' SEED='$(SEED)' TTL='$(TTL)' go test -tags soak -count=1 -v -timeout 0 -run '^TestSoak$$' ./cmd/roompass/soak

# What breaks Redis or a pod, each fault for as long as FAULT says, ROUNDS times.
FAULT  ?= 3m
ROUNDS ?= 5

soak-rooms: tools
	CGO_ENABLED=1 ROOMPASS_FAULT=$(FAULT) go test -race -count=$(ROUNDS) -timeout 0 \
		-run 'Redis|Pod|Outage|Resume|Racing|Reset|Reclaim|Reap|Steps|Regress|Silent|Serve' ./rooms ./cmd/roompass

# The Go benchmarks, then the comparison with centrifuge and with the limits, which is a module of its own.
# BENCH_ARGS are its flags, as BENCH_ARGS='--only push,resume --json -'.
bench: build
	go test -run '^$$' -bench . -benchmem ./...
	go test -C bench .
	go run -C bench . --roompass $(BIN) $(BENCH_ARGS)
