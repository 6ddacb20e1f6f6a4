"""Self-play: a population of trained pursuers and evaders, grown by responses to each other's mixtures (PSRO).

In a round each side trains a response to what the other side plays in equilibrium among the members so far (Lanctot et
al. 2017), and beside it to all its members, the stronger ones more often (`population.rivals`): a response to the
equilibrium alone forgets whom it does not meet. Responses are approximate, so NashConv is a lower bound.

After the last round either side has a mixture, and one policy that is trained against the other side's mixture: the
final response, from the weights of its side's latest member. It is a single policy and may be exploited more than the
mixture; it is not a member.

The same call goes on wherever the last one stopped, to the same bits.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from safepursuit import metagame
from safepursuit.compare import cells, exploit, trainings
from safepursuit.compare.cells import CellRecord
from safepursuit.compare.crossplay import crossplay
from safepursuit.compare.jobs import CellJob
from safepursuit.compare.population import (
    Folder,
    Population,
    Settings,
    admitted,
    check_free,
    mixture,
    opened,
    rivals,
    write,
)
from safepursuit.compare.work import Crew, Event, carry_out
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.opponents import find
from safepursuit.game import ROLES, Role, other
from safepursuit.runs.folder import RunFolder, RunFolderError, write_json
from safepursuit.runs.lock import writing

REPORT = "selfplay.json"

Watch = Callable[[TrainConfig], AbstractContextManager[trainings.Observer]]
"""From a training to what observes it."""


@dataclass(frozen=True)
class SelfPlay:
    """A population in its folder."""

    folder: Folder
    settings: Settings
    command: list[str]
    crew: Callable[[], Crew]
    """Makes the processes in which pairs play."""
    report: Callable[[str], None] = lambda line: None
    watch: Watch = field(default=lambda config: nullcontext(lambda metrics: None))

    def grow(self, rounds: int, until: float | None = None) -> Population:
        """The population after so many rounds, or when NashConv of a round is at most `until`; kept as it grows.

        Raises RunFolderError as `population.opened`, or where another process writes it, and ValueError for players
        that cannot play in this game.
        """
        check_free(self.folder)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with writing(RunFolder(self.folder.path)):
            population = opened(self.folder, self.settings) or self._begun()

            def respond(number: int, side: int, _: Mapping[Any, float]) -> Sequence[str]:
                member = f"{ROLES[side]}/round-{number}"
                self._respond(member, population, side, self.settings.timesteps)
                pursuers, evaders = population.pools
                self.judge(*(((member,), evaders) if side == metagame.ROW else (pursuers, (member,))))
                return [member]

            for grown in metagame.psro(population, respond, self.payoff, rounds, until):
                population = grown
                write(self.folder, self.settings, population)
                self._tell(population)
        return population

    def finish(self, population: Population, timesteps: int) -> dict[str, Any]:
        """Train the final responses and judge them; the contents of OUT/selfplay.json (see `figures`)."""
        finals = {}
        with writing(RunFolder(self.folder.path)):
            for side, role in enumerate(ROLES):
                finals[role] = f"{role}/final-{population.finished_rounds}"
                self._respond(finals[role], population, side, timesteps)
            found = figures(self, population, finals)
            write_json(self.folder.path / REPORT, found)
        return found

    def payoff(self, pursuer: str, evader: str) -> float:
        """The rate of captures of a pair that has played."""
        return float(self.record(pursuer, evader).outcomes.captured.mean())

    def record(self, pursuer: str, evader: str) -> CellRecord:
        """The episodes of a pair that has played. Raises ValueError where they are not those of these settings."""
        file = self.folder.file(pursuer, evader)
        found = cells.read(file)
        if (found.result["episodes"], found.result["seed"]) != (self.settings.episodes, self.settings.seed):
            raise RunFolderError(f"{file} is of other episodes: remove it, and they are played again.")
        return found

    def judge(self, pursuers: Sequence[str], evaders: Sequence[str]) -> None:
        """Let each of these pairs play that has not."""
        pairs = [pair for pair in product(pursuers, evaders) if not self.folder.file(*pair).is_file()]
        if not pairs:
            return
        waiting = [self._job(*pair) for pair in pairs]
        failures = carry_out([], waiting, self.crew(), self.folder.path, self.command, [self._note])
        if failures:
            raise RuntimeError(
                f"{len(failures)} of {len(waiting)} pairs failed, the first with: {failures[0].job}: "
                f"{failures[0].value} The same command tries again."
            )

    def _job(self, pursuer: str, evader: str) -> CellJob:
        base, asked = self.settings.base, (self.settings.episodes, None, self.settings.seed)
        cell = self.folder.cell(pursuer, evader, base)
        prey = find(self.folder.player(evader), "evader", base.game, shield=base.shield)
        return CellJob(cell, cell.contender.folder(self.folder.path), *asked, evader=prey, rules="as-trained")

    def _note(self, event: Event) -> None:
        if event.kind == "finished" and isinstance(event.job, CellJob):
            rate = event.value[0].result["capture"]["rate"]
            self.report(f"judged {event.job.contender.name} against {event.job.cell.evader}: capture {rate:.1%}")

    def _begun(self) -> Population:
        base = self.settings.base
        pursuers, evaders = (
            [admitted(self.folder, one, role, base) for one in self.settings.start(role)] for role in ROLES
        )
        self.judge(pursuers, evaders)
        population = metagame.begun(pursuers, evaders, self.payoff)
        write(self.folder, self.settings, population)
        self._tell(population)
        return population

    def _respond(self, member: str, population: Population, side: int, timesteps: int) -> None:
        """Train a member against the other side's mixture, or go on with that."""
        role, base = ROLES[side], self.settings.base
        shares = rivals(population, side, self.settings.explore)
        text = mixture(self.folder, shares, base.num_envs // base.shares)
        start = self._latest(population.pools[side]) if self.settings.warm else None
        config = base.in_role(
            role,
            **{other(role): text},
            method=self.settings.method,
            timesteps=timesteps,
            seed=base.seed + population.finished_rounds + 1,
        )
        if start is not None:
            own = self.folder.run(start).config
            config = replace(config, method=own.method, policy=own.policy, shield=own.shield)
        home = self.folder.path / member
        trainings.check(home, config)
        if trainings.finished(home, config):
            return
        candidate = exploit.Candidate(member, config, home, None if start is None else self.folder.player(start))
        self.report(f"training {member} against {self._named(text)}")
        with self.watch(config) as observer:
            exploit.train(candidate, self.command, [observer])

    def _latest(self, pool: Sequence[str]) -> str | None:
        """The last trained member, if any."""
        return next((one for one in reversed(pool) if "/" in one), None)

    def _named(self, text: str) -> str:
        """A mixture with the names of members."""
        return text.replace(f"{self.folder.path.resolve()}/", "")

    def _tell(self, population: Population) -> None:
        """Report a round that has ended, and what is played in the next."""
        if population.rounds[-1].responses != (None, None):
            return
        number = population.finished_rounds
        if number:
            gain = population.nash_conv(-2)
            self.report(f"round {number}: the responses gain {gain:.1%} of captures together (NashConv, lower bound)")
        for side, role in enumerate(ROLES):
            played = ", ".join(f"{name} {weight:.0%}" for name, weight in population.mixture(side).items())
            self.report(f"equilibrium after round {number}, {role}: {played}")


def figures(play: SelfPlay, population: Population, finals: Mapping[Role, str]) -> dict[str, Any]:
    """What a population has become, as JSON has it:

    rounds: of each the equilibrium before it, its value (rate of captures), the responses, and NashConv over all
    members known by now, a lower bound; the last entry is the final equilibrium, held against the final responses.
    mixtures: either side's final equilibrium as an opponent is named; policies: the run folders of the final responses.
    pairs: the cross-play of all members and final responses (`crossplay`), contacts: episodes with an own contact.
    """
    pursuers, evaders = ([*pool, finals[role]] for role, pool in zip(ROLES, population.pools, strict=True))
    play.judge(pursuers, evaders)
    found = {(one, two): play.record(one, two) for one in pursuers for two in evaders}
    captured = np.array([[found[one, two].outcomes.captured for two in evaders] for one in pursuers])
    matrix = captured.mean(axis=2)
    rounds = []
    for number, one in enumerate(population.rounds):
        strategies = {role: population.mixture(side, number) for side, role in enumerate(ROLES)}
        responses = one.responses if number < population.finished_rounds else tuple((finals[role],) for role in ROLES)
        rounds.append(
            {
                "strategies": strategies,
                "value": metagame.value(matrix, *one.strategies),
                "responses": {role: list(who or ()) for role, who in zip(ROLES, responses, strict=True)},
                "nash_conv": metagame.nash_conv(matrix, *one.strategies),
            }
        )
    hits = [(one.result["collision"]["count"], one.result["opponent_collisions"]) for one in found.values()]
    contacts = {role: sum(counts) for role, counts in zip(ROLES, zip(*hits, strict=True), strict=True)}
    return {
        "rounds": rounds,
        "mixtures": {role: mixture(play.folder, population.mixture(side)) for side, role in enumerate(ROLES)},
        "policies": {role: play.folder.player(finals[role]) for role in ROLES},
        "pairs": crossplay(pursuers, evaders, captured),
        "contacts": contacts | {"episodes": captured.size},
        "seed": play.settings.seed,
    }
