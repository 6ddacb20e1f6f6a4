# The newcomer's two commands are `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: help setup viewer viewer-docs demo test lint types contract docs docs-serve unit test-wide test-heavy prove-rooms prove-shapes prove-movers test-cluster fuzz soak reliability test-crash test-export smoke-wheel bench bench-growth bench-guard bench-revisions bench-roofline bench-methods bench-players bench-viewer bench-peers bench-safe-control bench-safe-control-movers bench-converters bench-imitation bench-sb3 bench-robots prove-robots stress falsify results population exploitability bench-reference rooms transfer zoo golden readme clean

help:  ## Show what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# pip takes the build of PyTorch that it is configured for; uv installs the other hundred packages five times as fast.
$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "safepursuit needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt torch uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/ready  ## Create .venv with the pinned versions

viewer/node_modules: viewer/package-lock.json
	cd viewer && npm ci --no-audit --no-fund
	@touch $@

viewer: viewer/node_modules  ## Check and build the pages for the browser → src/safepursuit/viewer/pages (takes Node ≥ 20; who has none uses those that are there)
	cd viewer && npm run check && npm run build

viewer-docs: setup  ## Train a pursuer for a minute, and write a replay, a game and a picture for the documentation → docs/viewer/, docs/images/replay.png
	rm -rf build/viewer-docs
	$(BIN)/safepursuit train --method barriernet --evader flee --obstacles 4 --timesteps 500_000 --num-envs 256 --seed 3 --run-dir build/viewer-docs/pursuer
	$(BIN)/python tools/viewer_pages.py build/viewer-docs/pursuer

demo: setup  ## Train BarrierNet against the random evader and judge it on 1,000 held-out episodes
	$(BIN)/safepursuit train --method barriernet --evader random --obstacles 2 --timesteps 2_000_000 --seed 42 --run-dir $(RUN)
	$(BIN)/safepursuit evaluate $(RUN) --episodes 1000 --json $(RUN)/evaluations/demo.json

test: setup  ## Lint, types, import contract, documentation and tests
	$(MAKE) --jobs 2 --output-sync lint types contract docs
	$(MAKE) unit

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contract: setup
	$(BIN)/lint-imports

docs: setup  ## Build the documentation site → build/site/index.html; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: setup  ## The site at http://127.0.0.1:8000, built anew when a document changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

unit: setup
	$(BIN)/pytest -n 2 --dist worksteal --max-worker-restart 0

test-wide: setup  ## The tests on more methods, integrators, sizes and documents; CI runs them after `make test`
	$(BIN)/pytest -n 2 --dist worksteal --max-worker-restart 0 -m wide

test-heavy: setup  ## The long proofs and trainings
	$(BIN)/pytest -m heavy

FUZZ ?= 100000
fuzz: setup  ## FUZZ random inputs for each surface: command line, files, scenes, environments, shield, exported controller → docs/benchmarks/fuzz.md (hours; goes on where it stopped)
	$(BIN)/python tools/fuzz.py $(FUZZ) --page docs/benchmarks/fuzz.md

SOAK ?= 2000000000
soak: setup  ## One training of SOAK steps, its memory, speed and counters watched (hours) → docs/benchmarks/endurance.md
	$(BIN)/python tools/soak.py $(SOAK) --page docs/benchmarks/endurance.md

reliability: setup  ## docs/reliability.md from what make falsify, test-crash, fuzz and soak have written
	$(BIN)/python tools/reliability.py

prove-rooms: setup  ## Adversarial drives among walls of any shape, 10 million steps → docs/benchmarks/rooms_proof.md
	$(BIN)/python tests/prove_rooms.py 600_000 --page docs/benchmarks/rooms_proof.md

prove-movers: setup  ## Drives among up to 100 movers that do their worst, 10 million steps of a moving robot each (hours; goes on where it stopped) → docs/benchmarks/movers_proof.md
	$(BIN)/python tests/prove_movers.py 10_000_000 --page docs/benchmarks/movers_proof.md

prove-shapes: setup  ## Distances, normals and first hits of edges against shapely, 100,000 random cases each
	$(BIN)/python tests/prove_shapes.py 100_000

KILLS ?= 200
test-crash: setup  ## Kill trainings, comparisons and populations KILLS times, fill their disk, and compare what they end in → docs/benchmarks/crashes.md
	$(BIN)/python tools/crash.py $(KILLS) --page docs/benchmarks/crashes.md

test-export: setup  ## Every method's exported file against the package, on 10,000 states each
	$(BIN)/pytest -m heavy tests/test_onnx.py

smoke-wheel:  ## Build sdist and wheel, and train, judge and export with the wheel in an empty environment
	$(PYTHON) tools/smoke_wheel.py

test-cluster: setup  ## Comparisons on a Ray cluster of several nodes, one of which dies
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,cluster]'
	$(BIN)/pytest -m cluster

bench: setup  ## How fast everything is on this machine → docs/benchmarks/speed.md, projection_and_game.md
	$(BIN)/safepursuit benchmark --json docs/benchmarks/speed.json --page docs/benchmarks/speed.md
	$(BIN)/python benchmarks/projection_and_game.py

bench-growth: setup  ## Where the time of training goes, and how cost grows with seeds, games and discs → docs/benchmarks/growth.md
	$(BIN)/python benchmarks/growth.py

bench-guard: setup  ## Whether anything has become slower, relative to fixed computations (takes a quiet machine)
	$(BIN)/python benchmarks/guard.py

REVISIONS ?= "before=1731c49" "boundaries ordered by counting=c8901b7" "critic in one pass, gains as sums, flat optimiser=d03f2b2" "games spread over all cores=d03f2b2:all" "projection in groups=e05a187:all" "rows and gains where they are met=9383ef2:all" "limits as a box=8b30b7a:all" "now=HEAD:all"
bench-revisions: setup  ## Training, projection and evaluation at several revisions → docs/benchmarks/revisions.md
	$(BIN)/python benchmarks/revisions.py --page $(REVISIONS)

bench-roofline: setup  ## Work and peak of a training step → docs/benchmarks/roofline.md
	$(BIN)/python benchmarks/roofline.py

bench-methods: setup  ## Every safety architecture under one protocol, and BarrierNet's ablation → docs/benchmarks/methods.md
	$(BIN)/python benchmarks/methods.py

bench-players: setup  ## Every scripted pursuer against every scripted evader → docs/benchmarks/scripted_players.md
	$(BIN)/safepursuit compare --pursuers all --obstacles 0 --episodes 500 --out comparisons/players-0
	$(BIN)/safepursuit compare --pursuers all --obstacles 4 --episodes 500 --out comparisons/players-4
	$(BIN)/python benchmarks/scripted_players.py 0=comparisons/players-0 4=comparisons/players-4

bench-viewer: setup  ## Frame times, opening times and sizes of the pages for the browser → docs/benchmarks/viewer.md
	$(BIN)/python benchmarks/viewer.py

.venv-peers/ready: pyproject.toml constraints.txt benchmarks/requirements-peers.txt benchmarks/requirements-peers-no-deps.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement benchmarks/requirements-peers.txt --editable .
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement benchmarks/requirements-peers-no-deps.txt
	@touch $@

bench-peers: .venv-peers/ready  ## Compare projection and game with other solvers and games, in .venv-peers → docs/benchmarks/projection_peers.md, game_peers.md
	.venv-peers/bin/python benchmarks/projection_peers.py
	.venv-peers/bin/python benchmarks/game_peers.py

SAFE_CONTROL ?= --requirement benchmarks/requirements-safe-control-no-deps.txt
.venv-safe-control/ready: pyproject.toml constraints.txt benchmarks/requirements-safe-control.txt benchmarks/requirements-safe-control-no-deps.txt
	$(PYTHON) -m venv .venv-safe-control
	.venv-safe-control/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement benchmarks/requirements-safe-control.txt --editable .
	@.venv-safe-control/bin/pip install --quiet --disable-pip-version-check --no-deps $(SAFE_CONTROL) \
		|| { echo "safe_control cannot be fetched from GitHub: go on where it can be reached, or name a copy of it at the commit in benchmarks/requirements-safe-control-no-deps.txt: make bench-safe-control SAFE_CONTROL=FOLDER"; exit 1; }
	@touch $@

bench-safe-control: .venv-safe-control/ready  ## The shield beside safe_control's gatekeeper and MPC-CBF, in .venv-safe-control → docs/benchmarks/safe_control.md (goes on where it stopped)
	.venv-safe-control/bin/python benchmarks/safe_control_peers.py

SAFE_CONTROL_SOURCE ?= build/safe_control
build/safe_control:
	git clone --quiet https://github.com/tkkim-robot/safe_control $@
	git -C $@ checkout --quiet 609c6bc18c2412f61ed07a22ac6ac5e3a24aa6c7

bench-safe-control-movers: .venv-safe-control/ready | $(SAFE_CONTROL_SOURCE)  ## The shield beside safe_control's C3BF and DPCBF among up to 100 movers → docs/benchmarks/safe_control_movers.md
	.venv-safe-control/bin/python benchmarks/safe_control_movers.py --source $(SAFE_CONTROL_SOURCE)

bench-converters: .venv-peers/ready  ## The exported controller by our own lowering and by jax2onnx → docs/benchmarks/onnx_converters.md
	.venv-peers/bin/python benchmarks/onnx_converters.py

bench-imitation: .venv-peers/ready  ## BarrierNet's first example with our PyTorch layer and with qpth → docs/benchmarks/imitation.md
	.venv-peers/bin/python benchmarks/imitation.py

bench-sb3: setup  ## Stable-Baselines3 on the vector environment, with and without the shield → docs/benchmarks/stable_baselines3.md
	$(BIN)/python benchmarks/stable_baselines.py

prove-robots: setup  ## Attack the guarantee of every robot, and variants that lack a part of it → docs/benchmarks/robots.md (hours; goes on where it stopped)
	$(BIN)/python tests/prove_robots.py

bench-robots: setup  ## What inertia, delay and error cost in capture → docs/benchmarks/robot_capture.md (goes on where it stopped)
	$(BIN)/python benchmarks/robot_capture.py

runs/stress/default:
	$(BIN)/safepursuit train --run-dir $@

runs/stress/turtlebot3: configs/turtlebot3.yaml
	$(BIN)/safepursuit train --config $< --run-dir $@

STRESS_EPISODES ?= 500
STRESSES := pose heading delay brakes bias slip dropped radius step evader-speed
runs/stress/default-%.json: | setup runs/stress/default
	$(BIN)/safepursuit stress runs/stress/default --imperfection $* --episodes $(STRESS_EPISODES) --json $@
runs/stress/turtlebot3-%.json: | setup runs/stress/turtlebot3
	$(BIN)/safepursuit stress runs/stress/turtlebot3 --imperfection $* --episodes $(STRESS_EPISODES) --json $@

stress: $(STRESSES:%=runs/stress/default-%.json) $(patsubst %,runs/stress/turtlebot3-%.json,budget $(STRESSES))  ## The default run and a TurtleBot3 under errors, delay, slip … → docs/benchmarks/stress.md (goes on where it stopped)
	$(BIN)/python tools/stress_page.py "The default run"=runs/stress/default "TurtleBot3 Burger"=runs/stress/turtlebot3

FALSIFY ?= 100_000_000
falsify: setup  ## Search for a collision behind the shield in FALSIFY steps, and for planted mistakes (hours) → docs/benchmarks/falsifier.md
	$(BIN)/python benchmarks/falsifier.py $(FALSIFY)

results: setup  ## Train and compare: one pursuer against all evaders, and all methods → docs/results.md (hours; goes on where it stopped)
	$(BIN)/safepursuit compare --methods barriernet --seeds 0..2 --config configs/mixture.yaml --pursuers lead-intercept,voronoi,constant-bearing --episodes 1000 --out comparisons/mixture
	$(BIN)/safepursuit compare --methods all --seeds 0..4 --config configs/methods.yaml --pursuers lead-intercept --episodes 200 --out comparisons/methods
	$(BIN)/safepursuit compare zoo:pursuer zoo:population-pursuer zoo:evader zoo:hiding-evader zoo:population-evader --pursuers lead-intercept,voronoi --episodes 1000 --out comparisons/roles
	$(BIN)/safepursuit render comparisons/mixture/runs/barriernet/seed-0 --rules default --obstacles 4 --evader flee,orbit,hide,mpc,mpc-lead,mpc-robust --grid 2x3 --fps 12 --speed 3 --out docs/images/evaders.gif
	$(BIN)/python tools/results.py "A pursuer trained against all evaders"=comparisons/mixture "All methods with the same budget"=comparisons/methods "Both roles"=comparisons/roles

ROUNDS ?= 3
STEPS ?= 20_000_000
population: setup  ## Grow a population of pursuers and evaders from the shipped ones → runs/population (an hour; goes on where it stopped)
	$(BIN)/safepursuit selfplay --out runs/population --config configs/mixture.yaml --config configs/population.yaml --pursuers zoo:pursuer,lead-intercept --evaders all,zoo:evader,zoo:hiding-evader --rounds $(ROUNDS) --timesteps $(STEPS) --explore 1

EXPLOIT = $(BIN)/safepursuit exploit $(1) --out exploits/$(2) --seeds 0..2 --config configs/mixture.yaml --episodes 1500 --timesteps $(3)
KNOWN = --known zoo:evader zoo:hiding-evader zoo:population-evader
WARM = --from hide zoo:population-evader
# The same pursuer, trained on by as many steps as the population's, tells what the population adds. Responses from
# random weights have more steps than their victim, those from the population's evader have them behind them.
exploitability: population  ## Responses to the shipped pursuers and to lead-intercept → docs/benchmarks/exploitability.md (hours; goes on where it stopped)
	test -e runs/trained-on/summary.json || $(BIN)/safepursuit train --config configs/mixture.yaml --config configs/population.yaml --from zoo:pursuer --timesteps 60_000_000 --run-dir runs/trained-on
	$(call EXPLOIT,zoo:pursuer,mixture,32_000_000) $(KNOWN) --from hide
	$(call EXPLOIT,lead-intercept,lead-intercept,16_000_000) $(KNOWN) --from hide
	$(call EXPLOIT,zoo:population-pursuer,population-warm,16_000_000) --no-scratch $(WARM)
	$(call EXPLOIT,zoo:population-pursuer,population,64_000_000) $(KNOWN) exploits/population-warm/from-*
	$(call EXPLOIT,runs/trained-on,trained-on-warm,16_000_000) --no-scratch $(WARM)
	$(call EXPLOIT,runs/trained-on,trained-on,64_000_000) $(KNOWN) exploits/trained-on-warm/from-*
	$(BIN)/python tools/exploitability.py runs/population "the mixture pursuer"=exploits/mixture "the population's pursuer"=exploits/population "the mixture pursuer with 60 M more steps"=exploits/trained-on lead-intercept=exploits/lead-intercept

bench-reference: setup  ## How far pursuers are from optimal in a game whose value is known → docs/benchmarks/reference_value.md
	$(BIN)/python benchmarks/reference_value.py

zoo: population  ## Train, judge and pack the policies that ship (hours) → src/safepursuit/zoo/
	$(BIN)/python tools/zoo.py

rooms: setup  ## Draw every room of the gallery, and a chase in it → docs/images/rooms/
	$(BIN)/python tools/rooms.py

transfer: setup  ## Train pursuers in random rooms (3 seeds; TRANSFER=steps for fewer), and judge them in rooms they have not seen → docs/benchmarks/transfer.md (hours; goes on where it stopped)
	$(BIN)/safepursuit compare --methods barriernet --seeds 0..2 --config configs/rooms.yaml $(TRANSFER:%=--timesteps %) --pursuers lead-intercept --suite rooms --episodes 500 --out comparisons/rooms
	$(BIN)/python tools/transfer.py comparisons/rooms

golden: setup  ## Write tests/golden/ anew (say why in the commit)
	$(BIN)/python tests/golden.py

readme: demo  ## Run the demo and write its table and picture into README.md
	$(BIN)/python tools/readme.py $(RUN) $(RUN)/evaluations/demo.json

clean:  ## Remove what can be made again
	rm -rf $(VENV) .venv-peers .venv-safe-control .jax_cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
