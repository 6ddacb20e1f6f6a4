"""A finished comparison with known numbers: synthetic episodes, evaluated and stored like real ones.

    group       method       seeds  captures of 60 by flee, orbit, hide    collisions
    guarded     barriernet   0, 1   57 54 60 / 55 52 58                    none
    free        ppo          0, 1   48 40 50 / 44 30 46                    3 episodes per seed, against flee, on a wall
    RAMPED      barriernet   0, 1   30 30 30 / 36 36 36                    none
    pursuit     pure-pursuit –      36 12 60                               none

In every episode a barrier holds the control in each tenth step; free's is held never, and each fifth of its programs is
infeasible.
"""

import csv
from pathlib import Path

import numpy as np

from safepursuit.compare import cells
from safepursuit.compare import plan as plans
from safepursuit.compare.contenders import Contender
from safepursuit.compare.plan import Plan, PlannedSuite
from safepursuit.evaluation import metrics
from safepursuit.evaluation.evaluation import Evaluation
from safepursuit.game import Game
from safepursuit.play.recording import Recording
from safepursuit.runs.folder import write_json
from safepursuit.scene import Arena

EPISODES, HORIZON, STEPS = 60, 80, 1_000_000
EVADERS = ("flee", "orbit", "hide")
GAME = Game(Arena(half_extents=(5.0, 5.0), obstacles=2), horizon=HORIZON)
RAMPED = "ramped, λ < 1 | 2"
"""A name that a page and a Markdown table must each take care of."""
CAPTURES = {
    "guarded": {0: (57, 54, 60), 1: (55, 52, 58)},
    "free": {0: (48, 40, 50), 1: (44, 30, 46)},
    RAMPED: {0: (30, 30, 30), 1: (36, 36, 36)},
    "pursuit": {None: (36, 12, 60)},
}
METHODS = {"guarded": "barriernet", "free": "ppo", RAMPED: "barriernet", "pursuit": "pure-pursuit"}
SHIFT = {"guarded": 0, "free": 10, RAMPED: 20, "pursuit": 30}
COLLISIONS = 3


def captured(group, seed, evader):
    """(60,) which scenarios the contender captured: so many in a row, beginning elsewhere for each group and seed."""
    count = CAPTURES[group][seed][EVADERS.index(evader)]
    return (np.arange(EPISODES) + SHIFT[group] + 5 * (seed or 0)) % EPISODES < count


def capture_steps(group):
    """(60,) steps to capture: 20 to 79, guarded soonest."""
    return 20 + (np.arange(EPISODES) * 7 + 6 * list(CAPTURES).index(group)) % 60


def recording(group, seed, evader):
    """Curved chases through the middle of the arena; the discs stand in two corners, away from both robots."""
    draw = np.random.default_rng(7)  # the same scenarios for every contender
    start = draw.uniform(-2, 2, (EPISODES, 2))
    bearing, distance = draw.uniform(-np.pi, np.pi, EPISODES), draw.uniform(0.8, 2.2, EPISODES)
    turn = draw.uniform(0.5, 1.5, EPISODES)
    hit = captured(group, seed, evader)
    length = np.where(hit, capture_steps(group), HORIZON)
    time = np.arange(HORIZON + 1)
    angle = bearing[:, None] + 0.02 * turn[:, None] * time
    runner = start[:, None] + distance[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    runner = np.clip(runner, -4.2, 4.2)
    nearest = np.where(hit, 1 - 0.4 / distance, 0.3)
    share = np.clip(time / length[:, None], 0, 1) * nearest[:, None]
    chaser = start[:, None] + share[..., None] * (runner - start[:, None])
    chaser[:, 1] = chaser[:, 0]  # it turns on the spot first
    pursuer, control = _driven(chaser, GAME.robot.dt, draw.uniform(-np.pi, np.pi, EPISODES))
    if group == "free" and evader == "flee":
        _ram(pursuer, control, np.flatnonzero(~hit)[:COLLISIONS])
    past, over = time > length[:, None], time[:-1] >= length[:, None]
    other, other_control = _driven(runner, GAME.robot.dt, np.zeros(EPISODES))
    for poses, controls in ((pursuer, control), (other, other_control)):
        poses[past], controls[over] = np.nan, np.nan
    steps = ~over
    flags = (np.arange(HORIZON) % 10 == 0) & steps
    held = flags & (group != "free")
    return Recording(
        pursuer=pursuer,
        evader=other,
        pursuer_control=control,
        evader_control=other_control,
        nominal=control,
        intervened=held,
        correction=np.where(over, np.nan, 0.02 * held),
        infeasible=(np.arange(HORIZON) % 5 == 0) & steps & (group == "free"),
        lost_gradient=held & (METHODS[group] == "barriernet"),
        active=np.zeros((EPISODES, HORIZON, 6), bool),
        discs=np.tile(np.array([[4.6, 4.6, 0.3], [-4.5, -4.5, 0.4]]), (EPISODES, 1, 1)),
        edges=np.empty((EPISODES, 0, 4)),
        movers=np.empty((EPISODES, HORIZON + 1, 0, 3)),
        length=length,
        outcome=np.where(hit, "capture", "timeout"),
        game=GAME,
    )


def _driven(path, dt, first):
    """Poses (episodes, time + 1, 3) and controls of a robot that follows a path (episodes, time + 1, 2) step by step.

    Where it stands still at first, it has this heading.
    """
    way = np.diff(path, axis=1)
    heading = np.arctan2(way[..., 1], way[..., 0])
    heading[:, 0] = np.where(np.any(way[:, 0] != 0, axis=-1), heading[:, 0], first)
    heading = np.concatenate([heading, heading[:, -1:]], axis=1)
    turn = np.angle(np.exp(1j * np.diff(heading, axis=1)))
    control = np.stack([np.hypot(way[..., 0], way[..., 1]), turn], axis=-1) / dt
    return np.concatenate([path, heading[..., None]], axis=-1), control


def _ram(pursuer, control, episodes):
    """Against the wall at +x, headed at it at 1 m/s in the last 4 steps (3 of the second episode, 2 of the third)."""
    for number, episode in enumerate(episodes):
        first = HORIZON - 4 + number
        way = np.linspace(pursuer[episode, 0, 0], 5 - GAME.robot.radius, first + 1)
        pursuer[episode, : first + 1, 0], pursuer[episode, first:, 0] = way, way[-1]
        pursuer[episode, :, 1], pursuer[episode, :, 2] = pursuer[episode, 0, 1], 0.0
        control[episode] = [(way[1] - way[0]) / GAME.robot.dt, 0.0]
        control[episode, first:, 0] = 1.0


def evaluation(group, seed, evader):
    played = recording(group, seed, evader)
    verdict = metrics.verdict(played)
    head = {"method": METHODS[group], "suite": "standard", "suite_version": 1, "evader": evader}
    return Evaluation(head | metrics.figures(played, verdict), played, verdict)


def plan(groups=tuple(CAPTURES), evaders=EVADERS):
    contenders = []
    for group in groups:
        for seed in CAPTURES[group]:
            run, steps = (None, None) if seed is None else (f"runs/{group}/seed-{seed}", STEPS)
            contenders.append(Contender(group, METHODS[group], seed, run, steps))
    return Plan(
        command="safepursuit compare --runs runs/guarded runs/free runs/ramped --pursuers pure-pursuit --out OUT",
        primary="guarded",
        suites=(PlannedSuite("standard", 1, tuple(evaders)),),
        episodes=EPISODES,
        contenders=tuple(contenders),
        obstacles=2,
        provenance={"python": "3.11.9", "cores": 2, "commit": None, "packages": {"jax": "0.10.2", "numpy": "2.4.6"}},
    )


def write(folder: Path, groups=tuple(CAPTURES), evaders=EVADERS) -> None:
    """The whole comparison, or a part of it: plan, cells and runs."""
    made = plan(groups, evaders)
    plans.write(made, folder)
    for cell in made.cells():
        one = cell.contender
        cells.write(*cells.summarise(cell, evaluation(one.group, one.seed, cell.evader)), folder)
    for one in made.contenders:
        if one.run is not None:
            _run(folder / one.run, one)


def _run(path: Path, contender: Contender) -> None:
    """A training of 20 iterations; seed s captures s % more, and only free collides: 5 steps an iteration."""
    path.mkdir(parents=True)
    collisions = 5.0 if contender.group == "free" else 0.0
    share = np.linspace(0, 0.9, 20) + 0.01 * contender.seed
    rows = [
        {
            "iteration": k + 1.0,
            "steps": 50_000.0 * (k + 1),
            "pursuit/capture_rate": share[k] if k else np.nan,
            "safety/collisions": collisions,
            "qp/intervention_rate": 0.0 if contender.group == "free" else 0.1 - 0.004 * k,
        }
        for k in range(20)
    ]
    with (path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    speed = 100_000.0 + 1000 * contender.seed
    summary = {"steps": STEPS, "collisions": 20 * collisions, "steps_per_second": speed, "qp_time_us": 0.25}
    write_json(path / "summary.json", summary)
    command = f"safepursuit train --method {contender.method} --seed {contender.seed} --run-dir {contender.run}\n"
    (path / "command.txt").write_text(command)
