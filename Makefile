# Samara. `make` alone says what there is to make.

SHELL      := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOARCH  ?= $(shell go env GOARCH)
OUT     ?= out
# Root's rights, for what opens raw sockets, makes namespaces or mounts. Go itself runs as whoever calls make.
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo -E env "PATH=$(PATH)")

export CGO_ENABLED := 0
# One metrics library instead of two (see the replacement in go.mod); no databases behind anacrolix/torrent.
export GOFLAGS := -tags=hashicorpmetrics,noboltdb,nosqlite $(GOFLAGS)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD    := go build -trimpath -ldflags "$(LDFLAGS)"
TOOL     := go tool -modfile=test/tools/go.mod
SOURCES  := $(shell find . -name '*.go' -not -path './out/*') go.mod go.sum
AGENTS   := cmd/samara/agent/samara-agent-amd64.gz cmd/samara/agent/samara-agent-arm64.gz

.PHONY: help
help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: bin/samara ## build bin/samara, one static file with the nodes' agent inside

bin/samara: $(SOURCES) $(AGENTS)
	GOARCH=$(GOARCH) $(BUILD) -o $@ ./cmd/samara

.PHONY: cross
cross: bin/samara-linux-amd64 bin/samara-linux-arm64 ## build bin/samara-linux-amd64 and bin/samara-linux-arm64

bin/samara-linux-%: $(SOURCES) $(AGENTS)
	GOOS=linux GOARCH=$* $(BUILD) -o $@ ./cmd/samara

# The agent is stripped of its build id, so that equal sources make equal initramfs.
cmd/samara/agent/samara-agent-%.gz: $(SOURCES)
	GOOS=linux GOARCH=$* go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o bin/samara-agent-$* ./cmd/samara-agent
	gzip -9 -n -c bin/samara-agent-$* > bin/samara-agent-$*.gz
	mv bin/samara-agent-$*.gz $@

.PHONY: demo
demo: ## three controllers and four machines that boot a real Debian from them; the leader is killed on the way
	./test/prepare demo
	$(MAKE) --no-print-directory build
	go build -o bin/demo ./test/demo
	$(SUDO) bin/demo up --samara bin/samara --out $(OUT)

.PHONY: demo-down
demo-down: ## end the demo and leave nothing behind
	go build -o bin/demo ./test/demo
	$(SUDO) bin/demo down --out $(OUT)

.PHONY: test
test: ## prove everything: static checks, units with the race detector, namespaces, QEMU boots
	./test/prepare test
	./test/run

.PHONY: lint
lint: ## check formatting, vet, staticcheck, and that go.mod is tidy
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted" >&2; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	go mod tidy -diff
	go mod verify

.PHONY: bench
bench: ## time the hot paths, into out/bench.json too
	./test/bench $(OUT)

.PHONY: bench-control
bench-control: ## time three controllers beside a bare Raft loop, into out/bench-control.json
	mkdir -p $(OUT)
	go run ./test/bench-control -out $(OUT)/bench-control.json

.PHONY: bench-config
bench-config: build ## time the configuration of 1,000 and 10,000 nodes beside a YAML decoder, into out/bench-config.json
	go build -o bin/bench-config ./test/bench-config
	$(SUDO) bin/bench-config -samara bin/samara -out $(OUT)

.PHONY: bench-boot
bench-boot: ## time 64 machines that fetch one initramfs at once, beside a bare HTTP server of bytes in memory
	go test -run '^$$' -bench BootFiles -benchtime 5x ./internal/netboot

.PHONY: bench-swarm
bench-swarm: build ## give an image to up to 64 nodes behind limited links, by Samara, by stock BitTorrent, by HTTP
	./test/prepare test
	go build -o bin/bench-swarm ./test/swarmlab/bench
	$(SUDO) bin/bench-swarm -samara bin/samara -out $(OUT)

.PHONY: bench-idle
bench-idle: build ## watch agents that have nothing to do, for five minutes each way, into out/bench-idle.json
	./test/prepare test
	go build -o bin/bench-idle ./test/swarmlab/idle
	$(SUDO) bin/bench-idle -samara bin/samara -out $(OUT)

.PHONY: bench-simulate
bench-simulate: ## simulate swarms beside out/bench-swarm.json and of up to 10,000 nodes, into docs/swarm-simulated.*
	go run ./test/bench-simulate -lab $(OUT)/bench-swarm.json -docs docs

.PHONY: soak
soak: build ## break five controllers for SOAK (default 2h) under clients, and check every answer
	./test/prepare test
	SAMARA_LINEAR=$(or $(SOAK),2h) go test -count=1 -v -timeout 0 $(if $(SUDO),-exec "sudo -E") ./test/linear

.PHONY: fuzz
fuzz: ## fuzz every parser of what comes from the network, FUZZTIME each (default 30s)
	./test/fuzz $(or $(FUZZTIME),30s)

.PHONY: docs
docs: build ## write the manual pages to out/man
	mkdir -p $(OUT)/man
	bin/samara man $(OUT)/man

.PHONY: clean
clean: ## remove what was built, not the caches of the demo
	rm -rf bin $(AGENTS)
	rm -rf $(OUT)/man
