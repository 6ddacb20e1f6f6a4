"""The sentences of a comparison's report: what was found, what was compared, what the words mean."""

from collections.abc import Sequence
from typing import Any

from safepursuit.evaluation.scenarios import SUITES
from safepursuit.report.comparison.charts import percent
from safepursuit.report.comparison.tables import between

_NAMED = 3
"""Other groups that a sentence names one by one."""

FAILURES = (
    "First episodes with a collision of the pursuer's own, those with most steps in collision first; then time-outs, "
    "those that stayed farthest away first; then the slowest captures."
)

KEY = (
    ("pursuer", "pursuer"),
    ("evader", "evader"),
    ("start", "start"),
    ("barrier", "barrier active"),
    ("radius", "capture radius"),
    ("collision", "collision"),
)
"""Of the pictures: class of the mark on the page, and its name."""

REPEAT = (
    "Scenarios follow from the suite, its version and the seed alone, so that the same command in another folder plays "
    "the same episodes; with the same versions on the same machine report.json is the same but for its timing and "
    "provenance. Stopped half way, the same command goes on where it stopped."
)

GLOSSARY = (
    ("capture", "The centres came within the capture radius before time ran out."),
    (
        "own collision",
        "The pursuer's own motion would have taken its body into a wall, a disc or the other robot, as found by a "
        "referee that shares no code with the safety layer; an episode counts once, however often it happened.",
    ),
    ("capture without collision", "Captured, and no own collision in the whole episode."),
    (
        "time to capture",
        "Restricted mean: the mean of all episodes' times, an episode without capture counting as the full horizon.",
    ),
    ("intervention", "Share of steps in which a barrier or the speed governor held the control."),
    (
        "correction",
        "Mean distance between the control asked for and the one executed, in half-widths of the actuator box.",
    ),
    ("infeasible", "Share of steps whose program had no solution."),
    (
        "gradient lost",
        "Share of steps at which the map from the network to its distribution had lost rank, so that some of the "
        "learning signal was gone.",
    ),
    ("least clearance", "Least distance of the pursuer's body from walls and discs at any time."),
    (
        "interquartile mean (IQM)",
        "The mean of the middle half of the runs; its interval: a bootstrap that draws the seeds of each evader anew.",
    ),
    (
        "upper bound of a zero",
        "If nothing happened in N independent episodes, the exact (Clopper–Pearson) 95 % interval of its rate ends at "
        "3.69/N.",
    ),
    (
        "p, Holm",
        "p-values adjusted for the number of rows: those below 0.05 can all be called significant, with a chance below "
        "5 % that any of them is false.",
    ),
    (
        "P(better run)",
        "Probability that a training of the first group scores higher than one of the other, ties counting one half, "
        "mean over the evaders.",
    ),
)


def listed(words: Sequence[str]) -> str:
    """“a, b and c”."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def title(numbers: dict[str, Any]) -> str:
    primary, *others = numbers["compared"]["groups"]
    if not others:
        return f"Evaluation of {primary}"
    return f"{primary} against {listed(others) if len(others) <= _NAMED else f'{len(others)} others'}"


def verdict(numbers: dict[str, Any]) -> str:
    """One sentence in numbers: the primary group on the suite that was named first, collisions over all suites."""
    primary, *others = numbers["compared"]["groups"]
    suite = numbers["suites"][0]
    found = suite["groups"][primary]
    rate, iqm = found["capture"], found["capture_iqm"]
    of = f"{rate['episodes']:,} episodes on {suite['name']} against {listed(suite['evaders'])}"
    capture = f"{primary} captured its evader in {percent(rate['rate'])} of {of}"
    if iqm:
        capture += f" (IQM of its runs {percent(iqm['value'])}, 95 % interval {between(iqm)})"
    else:
        capture += f" (95 % interval {between(rate)})"
    hits = numbers["collisions"][primary]
    suites = len(numbers["suites"])
    where = f" on all {suites} suites" if suites > 1 else ""
    bound = percent(hits["high"], 2)
    safe = f"and collided in {hits['count']:,} of {hits['episodes']:,}{where} (95 % upper bound {bound})"
    if not others:
        return f"{capture}, {safe}."
    rates = {one: suite["groups"][one]["capture"]["rate"] for one in others}
    if len(others) > _NAMED:
        best = max(rates, key=lambda one: rates[one])
        return f"{capture}, {safe}; of {len(others)} others, {best} captured most, in {percent(rates[best])}."
    first, *rest = (f"{percent(rate)}" for rate in rates.values())
    told = [
        f"{others[0]} captured in {first}",
        *(f"{one} in {rate}" for one, rate in zip(others[1:], rest, strict=True)),
    ]
    return f"{capture}, {safe}; {listed(told)}."


def facts(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    """What was played, as names and numbers."""
    about, suites = numbers["compared"], numbers["suites"]
    evaders = {evader for suite in suites for evader in suite["evaders"]}
    contenders = sum(group["contenders"] for group in about["groups"].values())
    cells = contenders * sum(len(suite["evaders"]) for suite in suites)
    return [
        ("groups", str(len(about["groups"]))),
        ("contenders", str(contenders)),
        ("suites", str(len(suites))),
        ("evaders", str(len(evaders))),
        ("episodes per pairing", f"{about['episodes']:,}"),
        ("episodes in all", f"{cells * about['episodes']:,}"),
    ]


def compared(numbers: dict[str, Any]) -> list[str]:
    about = numbers["compared"]
    groups = "; ".join(_group(name, one) for name, one in about["groups"].items())
    discs = about["obstacles"]
    layout = "" if discs is None else f"{discs} discs where the suite does not set their number, "
    return [
        f"Compared: {groups}.",
        f"All contenders played the same {about['episodes']:,} scenarios of each suite: {layout}scenario seed "
        f"{about['seed']}, deterministic policies, shield {about['shield']}. A group's sample is its seeds × episodes "
        "× evaders.",
    ]


def _group(name: str, one: dict[str, Any]) -> str:
    if not one["seeds"]:
        return f"{name} (scripted)"
    seeds = f"seed{'s' * (len(one['seeds']) > 1)} {listed([str(seed) for seed in one['seeds']])}"
    steps = sorted(set(one["steps"]))
    trained = f", {' to '.join(f'{step:,}' for step in (steps[0], steps[-1])[: len(steps)])} steps" if steps else ""
    method = "" if name.startswith(one["method"]) else f"{one['method']}, "
    return f"{name} ({method}{seeds}{trained})"


def about_suite(suite: dict[str, Any], numbers: dict[str, Any]) -> str:
    known = SUITES.get(suite["name"])
    summary = f"{known.summary[0].upper()}{known.summary[1:]}. " if known else ""
    episodes = numbers["compared"]["episodes"]
    primary = numbers["compared"]["primary"]
    runs = numbers["compared"]["groups"][primary]["contenders"]
    many = "seeds" if runs > 1 else "run"
    evaders = len(suite["evaders"])
    return (
        f"{summary}Version {suite['version']}; {runs} {many} × {episodes:,} episodes × {evaders} "
        f"evader{'s' * (evaders > 1)} = {runs * episodes * evaders:,} episodes of {primary}."
    )


def versions(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    """Versions and machine, as names and words."""
    flat = {key: value for key, value in provenance.items() if not isinstance(value, dict)}
    packages = {key: value for one in provenance.values() if isinstance(one, dict) for key, value in one.items()}
    return [(key, "unknown" if value is None else str(value)) for key, value in (packages | flat).items()]
