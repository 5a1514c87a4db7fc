# One entry to everything. Works in a fresh clone with Node >= 20, npm and make; `make help` lists the targets.
# All tools run under the Node that npm installs (node_modules/.bin/node), whatever Node the machine has; only npm itself
# runs under the machine's own, because it replaces node_modules while it works.

machine_path := $(subst $(CURDIR)/node_modules/.bin:,,$(PATH))
export PATH := $(CURDIR)/node_modules/.bin:$(machine_path)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

installed := node_modules/.package-lock.json
generated := src/proto/quorate.js
cluster := node src/cli/local-cluster.ts
biome := biome check --config-path=test/tidy/house.biome.json
oxlint := oxlint --type-aware -c test/tidy/house.oxlint.json
# Where each suite leaves what vitest counted, for .ci/run.
results := .cache/results

##@ Everyday

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n'

.PHONY: setup
setup: $(installed) $(generated) ## Install what the lock file says, generate the protobuf code (only what is missing)

# Not `npm ci`: it refuses a lock file that lacks other platforms' optional binaries, and a registry that does not serve
# those makes just such lock files. This installs what the lock file says, and writes nothing back.
$(installed): package-lock.json
	@echo 'installing dependencies'
	@PATH="$(machine_path)" npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@

$(generated): $(shell find proto -name "*.proto") package.json | $(installed)
	@npm run -s generate

.PHONY: verify
verify: setup ## Check format, lint, types, unused code and the house rules; changes nothing
	@echo 'format and lint'; $(biome) --error-on-warnings .
	@echo 'lint with types'; $(oxlint) --deny-warnings .
	@echo 'types'; tsc --noEmit -p .
	@echo 'unused code'; knip --config test/tidy/house.knip.json
	@echo 'house rules'; vitest run --config test/vitest.config.ts test/tidy

.PHONY: fix
fix: setup ## Format, and apply the safe fixes of both linters
	@$(biome) --write . || true
	@$(oxlint) --fix .

.PHONY: test
test: test-code test-chaos ## Everything: code and simulation, then real processes behind Toxiproxy

.PHONY: test-code
test-code: setup ## All tests but the chaos suite; ONLY=test/raft for a part
	@mkdir -p $(results)
	@vitest run --config test/vitest.config.ts $(ONLY) --reporter=default --reporter=json --outputFile.json=$(results)/code.json

.PHONY: test-chaos
test-chaos: setup ## Real nodes, a real Toxiproxy, real faults; ONLY=test/chaos/isolation.test.ts for a part
	@mkdir -p $(results)
	@vitest run --config test/chaos/vitest.config.ts $(ONLY) --reporter=default --reporter=json --outputFile.json=$(results)/chaos.json

.PHONY: build
build: setup ## Compile what is published into dist/
	@rm -rf dist
	@tsc -p test/support/build.tsconfig.json
	@mkdir -p dist/src/proto && cp src/proto/quorate.js src/proto/quorate.d.ts dist/src/proto/

.PHONY: clean
clean: ## Remove everything that was made here, but for the local cluster's data
	rm -rf dist .cache src/proto node_modules

##@ Five nodes on this machine (TOXIPROXY=1 puts a proxy on every link)

.PHONY: cluster
cluster: setup ## Start whatever is not running, wait until a write works, say what to try next
	@$(cluster) start $(if $(TOXIPROXY),--toxiproxy)

.PHONY: cluster-status
cluster-status: setup ## Processes, roles and positions
	@$(cluster) status

.PHONY: cluster-stop
cluster-stop: setup ## Stop all nodes and proxies; the data stays
	@$(cluster) stop

.PHONY: cluster-wipe
cluster-wipe: setup ## Stop everything and delete the data, or that of NODE=n3 alone
	@$(cluster) wipe $(NODE)

.PHONY: cluster-kill
cluster-kill: setup ## SIGKILL NODE=n3
	@$(cluster) kill $(NODE)

.PHONY: cluster-start
cluster-start: setup ## Start NODE=n3 again
	@$(cluster) start-node $(NODE)

.PHONY: cluster-pause
cluster-pause: setup ## SIGSTOP NODE=n3: alive, and silent
	@$(cluster) pause $(NODE)

.PHONY: cluster-resume
cluster-resume: setup ## SIGCONT NODE=n3
	@$(cluster) resume $(NODE)

.PHONY: cluster-logs
cluster-logs: setup ## The last lines of NODE=n3's log
	@$(cluster) logs $(NODE)

.PHONY: partition
partition: setup ## Cut NODES=n1,n2 off from the others (needs TOXIPROXY=1)
	@$(cluster) partition $(NODES)

.PHONY: heal
heal: setup ## Mend every link
	@$(cluster) heal

##@ Proof (each ends by itself, prints what it did, and how to repeat what failed)

.PHONY: sim
sim: setup ## Whole nodes in virtual time: SEEDS=200 FROM=1 JOBS=2, or one to read: SEED=7 ONLY=3,9
	@node test/sim/sim.ts

.PHONY: mutants
mutants: setup ## Put known bugs in, one by one: each must be caught; MUTANT=name for one
	@node test/sim/mutant-runner.ts

.PHONY: power-loss
power-loss: setup ## CYCLES=2000 power cuts in the simulator, of one node, of several, of all
	@node test/sim/power-loss.ts

.PHONY: chaos
chaos: setup ## Five real nodes, two to four faults at once for MINUTES=2, the history checked by Porcupine; SEED=1
	@node test/chaos/run.ts

.PHONY: kill-loop
kill-loop: setup ## kill -9 of one, two and all nodes under load, CYCLES=300 times: nothing acknowledged is lost
	@node test/chaos/kill-loop.ts

.PHONY: damage
damage: setup ## Damage every kind of file in every way, TRIALS=20 each: all of it is noticed
	@node test/chaos/damage.ts

.PHONY: failover
failover: setup ## Kill, pause and blackhole the leader: KILLS=20 PAUSES=5 BLACKHOLES=5 CUTS=5, with histograms
	@node test/chaos/failover.ts

##@ Measurements and images

.PHONY: bench
bench: setup ## Every kind of work beside etcd, three nodes each; QUICK=1 for the ratios in two minutes, ONLY=put,cas
	@node test/bench/bench.ts

.PHONY: bench-charts
bench-charts: setup ## What make bench measured last, for the README: SVG in test/bench/charts, a table in Markdown
	@node test/bench/charts.ts

.PHONY: bench-limits
bench-limits: setup ## What grpc-js, the log's flushes and LevelDB do alone with the same bytes
	@node test/bench/limits.ts

.PHONY: bench-growth
bench-growth: setup ## Costs against keys (KEYS_MAX=1000000), replicas, value sizes and history
	@node test/bench/growth.ts

.PHONY: bench-uncached
bench-uncached: setup ## Puts and gets of KEYS=10000000 keys beside etcd, our caches a hundredth of them
	@node test/bench/uncached.ts

.PHONY: bench-recovery
bench-recovery: setup ## Restart with STATE_MIB=1024 of state, with ENTRIES=100000 unapplied; a snapshot to an empty node
	@node test/bench/recovery.ts

.PHONY: bench-steady
bench-steady: setup ## MINUTES=60 of puts at SHARE=50 % of the most: slopes of memory, latency and disk; lateness of the event loops
	@node test/bench/steady.ts

.PHONY: bench-outage
bench-outage: setup ## How long no write succeeds after kill -9 of the leader, beside etcd at its timeouts, ROUNDS=10
	@node test/bench/outage.ts

.PHONY: bench-profile
bench-profile: setup ## Where the CPU of one kind of work goes: WORK=put, CALLERS=256, SECONDS=8; keeps the profiles
	@node test/bench/profile.ts

.PHONY: image
image: ## Build the container image quorate:latest with podman, buildah or docker
	@docker/build.sh
