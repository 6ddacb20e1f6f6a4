"""What a file says about itself: metadata for programs, and a model card for readers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import equinox as eqx
import jax
import numpy as np

from safepursuit import __version__
from safepursuit.adapters.onnx.controller import BELIEVED, CONSTRAINTS
from safepursuit.experiment import TrainConfig
from safepursuit.policy import HEADS, Policy
from safepursuit.robot import Inertial
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, read_json
from safepursuit.shield import MAX_HEADING

FORMAT = "safepursuit-pursuer"
FORMAT_VERSION = "2"

UNITS = {
    "pose": "x [m], y [m], heading [rad, counter-clockwise from +x], world frame",
    "control": "the own speed v [m/s] and turn rate omega [rad/s, positive to the left] now",
    "opponent_pose": "as pose",
    "opponent_control": "as control",
    "discs": "x, y, radius [m]; a row of three NaN or of three zeros is padding",
    "half_extents": "the walls stand at x = +-half_extents[0], y = +-half_extents[1] [m]",
    "pending": "the commands sent and not yet executed, v [m/s] and omega [rad/s] each, the oldest first; pose and "
    "control are those of now, before any of them",
    "safe_control": "v [m/s] and omega [rad/s] for the next dt seconds",
    "nominal_control": "what the network asks for [m/s, rad/s]",
    "active": "which constraint holds the control, see constraints",
    "feasible": "the guarantee holds: the inputs can be trusted, the body overlaps nothing, the program had a solution",
    "clearance": "distance of the body from the nearest disc or wall [m], negative if it overlaps; 0 if not trusted",
}


def training_of(run: RunFolder, steps: int, checkpoint: str) -> dict[str, Any]:
    """Where a policy comes from, and how it was judged, as its run folder tells it."""
    evaluations = [read_json(file) for file in sorted(run.evaluations.glob("*.json"))]
    provenance = run.path / "provenance.json"
    return {
        "run": run.path.name,
        "checkpoint": checkpoint,
        "steps": steps,
        "evaluations": evaluations,
        "provenance": read_json(provenance) if provenance.is_file() else {},
    }


def describe(policy: Policy, config: TrainConfig, discs: int, training: Mapping[str, Any]) -> dict[str, str]:
    """The metadata: texts, or JSON."""
    robot = config.robot
    known: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "safepursuit_version": __version__,
        "method": config.method,
        "role": config.role,
        "discs": discs,
        "dt": robot.dt,
        "integrator": robot.integrator,
        "limits": {name: value for name, value in asdict(robot).items() if name not in ("dt", "integrator")},
        "budget": asdict(config.shield.budget),
        "units": _units(config),
        "constraints": {str(number): text for number, text in CONSTRAINTS.items()},
        "config": configuration.dump(config),
        "config_sha256": fingerprint(config),
        "policy_sha256": digest(policy),
        "training": dict(training),
        "model_card": model_card(config, discs, training),
    }
    return {key: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for key, one in known.items()}


def fingerprint(config: TrainConfig) -> str:
    """SHA-256 of the configuration."""
    return hashlib.sha256(configuration.dump(config).encode()).hexdigest()


def digest(policy: Policy) -> str:
    """SHA-256 of the policy's parameters."""
    leaves = jax.tree.leaves(eqx.filter(policy, eqx.is_array))
    return hashlib.sha256(b"".join(np.asarray(leaf, np.float64).tobytes() for leaf in leaves)).hexdigest()


def model_card(config: TrainConfig, discs: int, training: Mapping[str, Any]) -> str:
    """In Markdown."""
    robot = config.robot
    about = " ".join((HEADS.find(config.method).__doc__ or "").split("\n\n")[0].split())
    numbers = "\n".join(f"| `{name}` | {text} |" for name, text in _units(config).items())
    limits = f"[0, {robot.max_speed:g}] m/s and ±{robot.max_turn_rate:g} rad/s"
    if robot.wheel_base is not None:
        limits += f", no wheel is faster than {robot.max_speed:g} m/s"
    steps = f", {training['steps']:,} steps" if "steps" in training else ""
    return f"""# {config.role.capitalize()} `{config.method}`

{about}

Trained with safepursuit {__version__} against the {config.opponent_role} `{config.opponent}`
among {config.game.arena.obstacles} discs, seed {config.seed}{steps}, for a
round robot of radius {robot.radius:g} m. To be called every {robot.dt:g} s.

| input or output | meaning |
| --- | --- |
{numbers}

Numbers are in double precision, the samples come first, and each has {discs} rows for discs.

## What it promises

The control lies in {limits}, whatever is measured. If an input
is not a finite number, or their sizes add up to more than {BELIEVED:g}, or the heading is beyond {MAX_HEADING:g} rad,
or a radius is negative, or the walls leave no room for the body, it stands still, and `feasible` is false. So it is
where the body overlaps something: then nothing is promised but that it does not drive further in.
{_promise(config)}

## What it does not know

Discs beyond its rows, obstacles that are not round, and whatever it does not promise above: a robot that does not do as
it is told, errors and movers beyond those named.
{_other_robot(config)}

## How it was judged

{_judgements(config, training)}
"""


def _judgements(config: TrainConfig, training: Mapping[str, Any]) -> str:
    rows = [
        f"| {one['suite']} | {one[config.opponent_role]} | {one['obstacles']} | {one['shield']} | {one['episodes']:,} "
        f"| {one['capture']['rate']:.1%} | {one['collision']['count']} |"
        for one in training.get("evaluations", ())
    ]
    head = ["| suite | opponent | discs | safety layer | episodes | captured | own collisions |", "|" + " --- |" * 7]
    return "\n".join(head + rows) if rows else "Not yet: `safepursuit evaluate` does it."


def _promise(config: TrainConfig) -> str:
    if not config.promises:
        return "**Nothing**: it has no safety layer whose guarantee is proved for it."
    robot, budget = config.robot, config.shield.budget
    if isinstance(robot, Inertial):
        held = (
            f"A robot that brakes with {robot.braking:g} m/s², accelerates with at most {robot.acceleration:g} m/s² "
            f"and {robot.turn_acceleration:g} rad/s², starts from a standstill whose body touches nothing and executes "
            "every command touches no wall and no disc, ever (theorem 3). Braking is always an answer: the command "
            "(0, 0)."
        )
    else:
        held = (
            "From any pose whose body touches nothing, a robot that moves as told for one step touches no wall and no "
            "disc at any time during the step (theorem 1; theorem 2 keeps the program feasible). Standing still is "
            "always an answer."
        )
    units = {
        "pose": "m",
        "heading": "rad",
        "speed": "m/s",
        "turn_rate": "rad/s",
        "delay": "steps",
        "slip": "of the way",
    }
    errors = [f"{name} {value:g} {units[name]}" for name, value in asdict(budget).items() if value and name in units]
    if errors:
        held += f" This holds for errors of up to {', '.join(errors)}; for larger ones nothing is promised."
    if budget.mover_speed:
        held += f" Obstacles that move with up to {budget.mover_speed:g} m/s do not touch it while it moves."
    return held


def _units(config: TrainConfig) -> dict[str, str]:
    return {name: text for name, text in UNITS.items() if name != "pending" or config.shield.budget.delay}


def _other_robot(config: TrainConfig) -> str:
    if config.shield.robot_barrier:
        return (
            f"It keeps its own approach to the other robot beyond {config.shield.min_separation:g} m, not the other's."
        )
    return "The other robot is no obstacle to it: capture comes before contact."
