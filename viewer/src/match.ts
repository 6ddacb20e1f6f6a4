/** One match in progress: the pursuer's policy, the visitor's control, the rules. */
import { transition, type Game, type GameState, type Outcome } from "./game";
import type { Command, Policy } from "./policy";
import type { Disc, Pair, Pose } from "./recording";

export interface Start {
  pursuer: Pose;
  evader: Pose;
  discs: Disc[];
}

export type Phase = "ready" | "running" | "caught" | "escaped";

/** What a step of the match did. */
export interface Played {
  before: GameState;
  command: Command;
  outcome: Outcome;
}

export class Match {
  state: GameState;
  before: GameState;
  phase: Phase = "ready";
  contacts = { pursuer: 0, evader: 0 };
  /** Whether the last step was a contact. */
  touching = { pursuer: false, evader: false };
  command: Command | null = null;
  private pending: Pair[] = [];

  /** `arranged` is told of other discs. */
  constructor(readonly game: Game, start: Start, private readonly arranged: (discs: Disc[]) => void = () => undefined) {
    const still: Pair = [0, 0];
    this.state = {
      pursuer: { pose: start.pursuer, control: still },
      evader: { pose: start.evader, control: still },
      discs: start.discs,
      step: 0,
    };
    this.before = this.state;
  }

  get over(): boolean {
    return this.phase === "caught" || this.phase === "escaped";
  }

  get time(): number {
    return this.state.step * this.game.pursuer.dt;
  }

  /** Plays one step; the visitor's control is asked for when the policy has answered. */
  async step(policy: Policy, shielded: boolean, evader: () => Pair): Promise<Played> {
    while (this.pending.length < policy.delay) this.pending.unshift([0, 0]);
    this.pending.splice(0, this.pending.length - policy.delay);
    const before = this.state;
    const command = await policy.act(before, this.game, this.pending);
    this.pending.push(shielded ? command.safe : this.game.pursuer.limit(command.nominal));
    const outcome = transition(before, { pursuer: this.pending.shift()!, evader: evader() }, this.game);
    this.before = before;
    this.state = outcome.state;
    this.command = command;
    this.touching = outcome.contacts;
    this.contacts.pursuer += outcome.contacts.pursuer ? 1 : 0;
    this.contacts.evader += outcome.contacts.evader ? 1 : 0;
    this.phase = outcome.captured ? "caught" : outcome.truncated ? "escaped" : "running";
    return { before, command, outcome };
  }

  /** Other discs from now on. */
  arrange(discs: Disc[]): void {
    this.state = { ...this.state, discs };
    this.before = { ...this.before, discs };
    this.arranged(discs);
  }

  /** Whether a disc may stand here: inside, away from both robots. */
  fits([x, y, radius]: Disc, room: number): boolean {
    const [halfX, halfY] = this.game.half;
    const inside = Math.abs(x) <= halfX && Math.abs(y) <= halfY;
    const { pursuer, evader } = this.state;
    return inside && [pursuer, evader].every(({ pose }) => Math.hypot(pose[0] - x, pose[1] - y) >= radius + this.game.pursuer.radius + room);
  }
}

/** Plays a whole match by a list of the evader's controls; for tests and pages around this one. */
export async function scripted(game: Game, start: Start, policy: Policy, shielded: boolean, controls: Pair[]): Promise<Played[]> {
  const match = new Match(game, start);
  const found: Played[] = [];
  for (const control of controls) {
    found.push(await match.step(policy, shielded, () => control));
    if (match.over) break;
  }
  return found;
}
