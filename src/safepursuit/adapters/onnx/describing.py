"""What a file says about itself: metadata for programs, and a model card for readers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from safepursuit import __version__
from safepursuit.adapters.onnx.controller import BELIEVED, CONSTRAINTS, EDGES, MOVERS, Command
from safepursuit.experiment import TrainConfig
from safepursuit.policy import HEADS, Policy, digest
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
    "discs": "x, y, radius [m]; a row of NaN or of zeros alone is padding",
    "half_extents": "the walls stand at x = +-half_extents[0], y = +-half_extents[1] [m]",
    "edges": "straight walls of finite length, solid from both sides, from (x1, y1) to (x2, y2): x1, y1, x2, y2 [m]; a "
    "polygon is its edges; a row of NaN or of zeros alone is padding",
    "movers": "discs that move: x, y, radius [m], velocity along x and y [m/s], and the speed [m/s] beyond which none "
    "ever is; a row of NaN or of zeros alone is padding",
    "ways": "the shortest ways around what stands to the opponent, and to where it will be met if it keeps its course "
    "until something stops it: x, y [m] of the place at which the way first turns, its end where it is straight, and "
    "its length [m]; the safety layer does not use them",
    "pending": "the commands sent and not yet executed, v [m/s] and omega [rad/s] each, the oldest first; pose and "
    "control are those of now, before any of them",
    "safe_control": "v [m/s] and omega [rad/s] for the next dt seconds",
    "nominal_control": "what the network asks for [m/s, rad/s]",
    "active": "which constraint holds the control, see constraints",
    "feasible": "the guarantee holds: the inputs can be trusted, the body overlaps nothing that stands, and the "
    "program had a solution",
    "clearance": "distance of the body from the nearest disc, mover, wall or edge [m], negative if it overlaps; 0 if "
    "not trusted",
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


def describe(
    policy: Policy, config: TrainConfig, inputs: Mapping[str, Sequence[int]], training: Mapping[str, Any]
) -> dict[str, str]:
    """The metadata: texts, or JSON. `inputs` are the shapes of a sample's inputs, rows last."""
    robot = config.robot
    known: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "safepursuit_version": __version__,
        "method": config.method,
        "role": config.role,
        **{name: _rows(inputs, name) for name in ("discs", "edges", "movers")},
        "dt": robot.dt,
        "integrator": robot.integrator,
        "limits": {name: value for name, value in asdict(robot).items() if name not in ("dt", "integrator")},
        "budget": asdict(config.shield.budget),
        "units": _units(inputs),
        "constraints": {
            str(number): text
            for number, text in CONSTRAINTS.items()
            if _rows(inputs, {MOVERS: "movers", EDGES: "edges"}.get(number, "discs"))
        },
        "config": configuration.dump(config),
        "config_sha256": fingerprint(config),
        "policy_sha256": digest(policy),
        "training": dict(training),
        "model_card": model_card(config, inputs, training),
    }
    return {key: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for key, one in known.items()}


def fingerprint(config: TrainConfig) -> str:
    """SHA-256 of the configuration."""
    return hashlib.sha256(configuration.dump(config).encode()).hexdigest()


def model_card(config: TrainConfig, inputs: Mapping[str, Sequence[int]], training: Mapping[str, Any]) -> str:
    """In Markdown."""
    robot = config.robot
    about = " ".join((HEADS.find(config.method).__doc__ or "").split("\n\n")[0].split())
    numbers = "\n".join(f"| `{name}` | {text} |" for name, text in _units(inputs).items())
    kinds = [name for name in ("discs", "edges", "movers") if _rows(inputs, name)]
    rows = ", ".join(f"{_rows(inputs, name)} rows for {name}" for name in kinds)
    limits = f"[{robot.min_speed:g}, {robot.max_speed:g}] m/s and ±{robot.max_turn_rate:g} rad/s"
    if robot.wheel_base is not None:
        limits += f", no wheel is faster than {robot.max_speed:g} m/s"
    steps = f", {training['steps']:,} steps" if "steps" in training else ""
    shapes = "what is neither round nor has straight sides" if "edges" in inputs else "obstacles that are not round"
    return f"""# {config.role.capitalize()} `{config.method}`

{about}

Trained with safepursuit {__version__} against the {config.opponent_role} `{config.opponent}`
{_where(config)}, seed {config.seed}{steps}, for a
round robot of radius {robot.radius:g} m. To be called every {robot.dt:g} s.

| input or output | meaning |
| --- | --- |
{numbers}

Numbers are in double precision, the samples come first, and each has {rows}.

## What it promises

The control lies in {limits}, whatever is measured. If an input
is not a finite number, or their sizes add up to more than {BELIEVED:g}, or the heading is beyond {MAX_HEADING:g} rad,
or a radius is negative, or the walls leave no room for the body, it stands still, and `feasible` is false. So it is
where the body overlaps something: then nothing is promised but that it does not drive further in.
{_promise(config, inputs)}

## What it does not know

{" and ".join(kinds).capitalize()} beyond its rows, {shapes}, and whatever it does not promise above: a robot
that does not do as it is told, errors and movers beyond those named.
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


def _where(config: TrainConfig) -> str:
    arena = config.game.arena
    return f"in the room `{arena.scene}`" if arena.room else f"among {arena.obstacles} discs"


def _rows(inputs: Mapping[str, Sequence[int]], name: str) -> int:
    return inputs[name][-1] if name in inputs else 0


def _promise(config: TrainConfig, inputs: Mapping[str, Sequence[int]]) -> str:
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
    if "movers" in inputs:
        held += " Movers that keep to the bounds of their speeds do not touch it while it moves."
    if budget.mover_speed:
        held += f" Obstacles that move with up to {budget.mover_speed:g} m/s do not touch it while it moves."
    return held


def _units(inputs: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Of the inputs that the file has, and of its outputs."""
    return {name: text for name, text in UNITS.items() if name in inputs or name in Command._fields}


def _other_robot(config: TrainConfig) -> str:
    if config.shield.robot_barrier:
        return (
            f"It keeps its own approach to the other robot beyond {config.shield.min_separation:g} m, not the other's."
        )
    return "The other robot is no obstacle to it: capture comes before contact."
