/** Recorded episodes: what episodes.py packs, one episode at a time. */
import { Unreadable, type Data, type Numbers } from "./unpack";
import type { Row } from "./polygon";

export interface About {
  title: string;
  note: string;
  /** The robot whose safety layer this is. */
  role: Role;
  half_extents: [number, number];
  /** Least and greatest x, least and greatest y at which a robot can be. */
  bounds: [number, number, number, number];
  /** The corners of a room's outer wall and of what is solid in it; null for the plain arena. */
  room: { outline: Pair[]; solid: Pair[][] } | null;
  robot_radius: number;
  evader_radius: number;
  capture_radius: number;
  dt: number;
  integrator: string;
  max_speed: number;
  max_turn_rate: number;
  horizon: number;
  inertia: boolean;
  boundaries: string[];
  offset: number;
  level: number | null;
}

export const OUTCOMES = ["capture", "timeout", "collision", "invalid"] as const;

export type Role = "pursuer" | "evader";
export type Disc = [number, number, number];
export type Pose = [number, number, number];
export type Pair = [number, number];
export type Edge = [number, number, number, number];

export interface Program {
  rows: Row[];
  box: [number, number, number, number];
  gain: number;
  nominal: Pair;
  control: Pair;
}

export class Recording {
  readonly about: About;
  readonly count: number;
  private readonly first: Uint32Array;
  private readonly firstRow: Uint32Array;

  constructor(private readonly data: Data<About>) {
    this.about = data.about;
    const length = this.array("length");
    this.count = length.length;
    this.first = new Uint32Array(this.count + 1);
    for (let i = 0; i < this.count; i++) this.first[i + 1] = this.first[i]! + length[i]!;
    const steps = this.first[this.count]!;
    const rows = data.arrays.get("row_count");
    this.firstRow = new Uint32Array(rows ? steps + 1 : 0);
    if (rows) for (let i = 0; i < steps; i++) this.firstRow[i + 1] = this.firstRow[i]! + rows[i]!;
    this.check(steps);
  }

  /** All arrays must agree on how many episodes, steps and rows there are. */
  private check(steps: number): void {
    const n = this.count;
    const each = (name: string): number => this.data.shapes.get(name)?.[1] ?? NaN;
    const boundaries = Math.ceil(this.about.boundaries.length / 8);
    const sizes: Record<string, number> = {
      number: n, outcome: n, pursuer: 3 * (steps + n), evader: 3 * (steps + n),
      pursuer_control: 2 * steps, nominal: 2 * steps, evader_control: 2 * steps,
      correction: steps, clearance: steps, flags: steps,
      discs: 3 * n * each("discs"), edges: 4 * n * each("edges"), standoff: n * (each("discs") + 2),
    };
    if (this.data.arrays.has("movers")) sizes.movers = 3 * (steps + n) * each("movers");
    if (this.hasPrograms) {
      const rows = this.firstRow[steps]!;
      Object.assign(sizes, { row_count: steps, rows: 3 * rows, row_boundary: rows, gain: steps });
      if (this.array("box").length !== 4) sizes.box = 4 * steps;
    }
    for (const [name, size] of Object.entries(sizes)) {
      if (this.array(name).length !== size) throw new Unreadable(`The recording is damaged: ${name} has a wrong size.`);
    }
    if (this.array("active").length > boundaries * steps) throw new Unreadable("The recording is damaged: active.");
    if (this.array("outcome").some((one) => one >= OUTCOMES.length)) throw new Unreadable("The recording is damaged: outcome.");
    if (n === 0) throw new Unreadable("The recording holds no episode.");
  }

  private array(name: string): Numbers {
    const found = this.data.arrays.get(name);
    if (!found) throw new Unreadable(`The recording is damaged: ${name} is missing.`);
    return found;
  }

  get hasPrograms(): boolean {
    return this.firstRow.length > 0;
  }

  get hasGains(): boolean {
    return this.data.arrays.has("gain");
  }

  length(episode: number): number {
    return this.array("length")[episode]!;
  }

  number(episode: number): number {
    return this.array("number")[episode]!;
  }

  outcome(episode: number): (typeof OUTCOMES)[number] {
    return OUTCOMES[this.array("outcome")[episode]!]!;
  }

  /** A pose before step `step`, or at the end; where it is not finite, the one before. */
  pose(who: Role, episode: number, step: number): Pose {
    const poses = this.array(who);
    for (let back = step; ; back--) {
      const at = 3 * (this.first[episode]! + episode + back);
      const pose: Pose = [poses[at]!, poses[at + 1]!, poses[at + 2]!];
      if (back === 0 || pose.every(Number.isFinite)) return pose;
    }
  }

  pair(name: "pursuer_control" | "nominal" | "evader_control" | "program_nominal" | "program_control", episode: number, step: number): Pair {
    const values = this.array(name);
    const at = 2 * (this.first[episode]! + step);
    return [values[at]!, values[at + 1]!];
  }

  /** Executed by the robot whose layer this is. */
  control(episode: number, step: number): Pair {
    return this.pair(`${this.about.role}_control`, episode, step);
  }

  /** The radius of that robot [m]. */
  get radius(): number {
    return this.about.role === "evader" ? this.about.evader_radius : this.about.robot_radius;
  }

  value(name: "correction" | "clearance" | "gain", episode: number, step: number): number {
    return this.array(name)[this.first[episode]! + step]!;
  }

  flag(episode: number, step: number, bit: 1 | 2 | 4 | 8): boolean {
    return (this.array("flags")[this.first[episode]! + step]! & bit) > 0;
  }

  /** Indices of the boundaries that held the control. */
  active(episode: number, step: number): number[] {
    const bits = this.array("active");
    const width = this.data.shapes.get("active")![1] ?? 0;
    const at = width * (this.first[episode]! + step);
    const found = [];
    for (let i = 0; i < this.about.boundaries.length && i < 8 * width; i++) {
      if ((bits[at + (i >> 3)]! >> (i & 7)) & 1) found.push(i);
    }
    return found;
  }

  /** In the order of the boundaries; NaN where a place is empty, which draws nothing. */
  discs(episode: number): Disc[] {
    const values = this.array("discs");
    const each = this.data.shapes.get("discs")![1]!;
    return Array.from({ length: each }, (_, i) => {
      const at = 3 * (episode * each + i);
      return [values[at]!, values[at + 1]!, values[at + 2]!];
    });
  }

  /** Straight walls other than the arena's four, x₁ y₁ x₂ y₂; NaN where a place is empty. */
  edges(episode: number): Edge[] {
    const values = this.array("edges");
    const each = this.data.shapes.get("edges")![1]!;
    return Array.from({ length: each }, (_, i) => {
      const at = 4 * (episode * each + i);
      return [values[at]!, values[at + 1]!, values[at + 2]!, values[at + 3]!];
    });
  }

  /** Discs that move, if any. */
  movers(episode: number, step: number): Disc[] {
    const values = this.data.arrays.get("movers");
    if (!values) return [];
    const each = this.data.shapes.get("movers")![1]!;
    return Array.from({ length: each }, (_, i) => {
      const at = 3 * ((this.first[episode]! + episode + step) * each + i);
      return [values[at]!, values[at + 1]!, values[at + 2]!] as Disc;
    }).filter((disc) => disc.every(Number.isFinite));
  }

  /** How far from each disc, then from a wall, then from an edge the virtual control point has h = 0. */
  standoffs(episode: number): number[] {
    const values = this.array("standoff");
    const each = this.data.shapes.get("standoff")![1]!;
    return Array.from(values.subarray(episode * each, (episode + 1) * each));
  }

  /** The safety layer's program before a step; null where there is none. */
  program(episode: number, step: number): Program | null {
    if (!this.hasPrograms) return null;
    const at = this.first[episode]! + step;
    const [rows, boundary, box] = [this.array("rows"), this.array("row_boundary"), this.array("box")];
    const at4 = box.length === 4 ? 0 : 4 * at;
    const found: Row[] = [];
    for (let i = this.firstRow[at]!; i < this.firstRow[at + 1]!; i++) {
      found.push({ a: [rows[3 * i]!, rows[3 * i + 1]!], b: rows[3 * i + 2]!, boundary: boundary[i]! });
    }
    return {
      rows: found,
      box: [box[at4]!, box[at4 + 1]!, box[at4 + 2]!, box[at4 + 3]!],
      gain: this.value("gain", episode, step),
      nominal: this.inProgram("nominal", episode, step),
      control: this.inProgram("control", episode, step),
    };
  }

  /** A control in the coordinates of the program: as recorded, or (v, sin ωΔ), continued beyond the limits by its tangent. */
  private inProgram(which: "nominal" | "control", episode: number, step: number): Pair {
    if (this.data.arrays.has(`program_${which}`)) return this.pair(`program_${which}`, episode, step);
    const [v, turn] = which === "nominal" ? this.pair("nominal", episode, step) : this.control(episode, step);
    const most = this.about.max_turn_rate * this.about.dt;
    const swing = turn * this.about.dt;
    const inside = Math.min(most, Math.max(-most, swing));
    return [v, Math.sin(inside) + Math.cos(most) * (swing - inside)];
  }

  /** Way and headings of the stop sector; null for a robot without inertia. */
  sector(episode: number, step: number): [number, number, number] | null {
    const values = this.data.arrays.get("sector");
    if (!values) return null;
    const at = 3 * (this.first[episode]! + step);
    return [values[at]!, values[at + 1]!, values[at + 2]!];
  }

  distance(episode: number, step: number): number {
    const [p, e] = [this.pose("pursuer", episode, step), this.pose("evader", episode, step)];
    return Math.hypot(p[0] - e[0], p[1] - e[1]);
  }

  leastClearance(episode: number): number {
    let least = Infinity;
    for (const value of this.steps("clearance", episode)) if (value < least) least = value;
    return least;
  }

  /** The share of an episode's steps with a flag. */
  share(episode: number, bit: 1 | 4): number {
    const flags = this.steps("flags", episode);
    let count = 0;
    for (const one of flags) if (one & bit) count++;
    return count / Math.max(1, flags.length);
  }

  private steps(name: string, episode: number): Numbers {
    return this.array(name).subarray(this.first[episode]!, this.first[episode + 1]!);
  }
}
