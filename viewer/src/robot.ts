/** Robots: src/safepursuit/robot/unicycle.py and inertial.py for one robot. */
import type { Pair, Pose } from "./recording";

export interface Limits {
  radius: number;
  max_speed: number;
  max_turn_rate: number;
  dt: number;
  integrator: "euler" | "arc" | "ramp";
  /** Of a robot with inertia [m/s², m/s², rad/s²]. */
  acceleration?: number;
  braking?: number;
  turn_acceleration?: number;
}

const GAUSS = 0.5 / Math.sqrt(3);

export class Robot {
  readonly radius: number;
  readonly dt: number;
  readonly integrator: Limits["integrator"];

  constructor(readonly limits: Limits) {
    this.radius = limits.radius;
    this.dt = limits.dt;
    this.integrator = limits.integrator;
  }

  /** The same robot with its highest speed scaled. */
  scaled(ratio: number): Robot {
    return new Robot({ ...this.limits, max_speed: this.limits.max_speed * ratio });
  }

  limit([v, turn]: Pair): Pair {
    const { max_speed, max_turn_rate } = this.limits;
    return [clip(v, 0, max_speed), clip(turn, -max_turn_rate, max_turn_rate)];
  }

  /** What the motors make of a command: speed and turn rate at the end of the step. */
  reach(control: Pair, velocity: Pair): Pair {
    const { acceleration, braking, turn_acceleration } = this.limits;
    if (this.integrator !== "ramp" || !acceleration || !braking || !turn_acceleration) return this.limit(control);
    const low = this.limit([velocity[0] - braking * this.dt, velocity[1] - turn_acceleration * this.dt]);
    const high = this.limit([velocity[0] + acceleration * this.dt, velocity[1] + turn_acceleration * this.dt]);
    return [clip(control[0], low[0], high[0]), clip(control[1], low[1], high[1])];
  }

  /** Positions of the centre at the ends of equal pieces of the step. */
  way(pose: Pose, control: Pair, pieces: number, velocity: Pair): Pair[] {
    return this.integrator === "ramp" ? this.ramp(pose, control, pieces, velocity) : this.arc(pose, control, pieces);
  }

  private arc([x, y, heading]: Pose, [v, turn]: Pair, pieces: number): Pair[] {
    return Array.from({ length: pieces }, (_, i) => {
      const time = (this.dt * (i + 1)) / pieces;
      const half = this.integrator === "euler" ? 0 : 0.5 * turn * time;
      const chord = v * time * (half === 0 ? 1 : Math.sin(half) / half);
      return [x + chord * Math.cos(heading + half), y + chord * Math.sin(heading + half)];
    });
  }

  private ramp([x, y, heading]: Pose, control: Pair, pieces: number, start: Pair): Pair[] {
    const slope = [(control[0] - start[0]) / this.dt, (control[1] - start[1]) / this.dt] as const;
    const piece = this.dt / pieces;
    const points: Pair[] = [];
    for (let number = 0; number < pieces; number++) {
      for (const side of [-GAUSS, GAUSS]) {
        const moment = (number + 0.5 + side) * piece;
        const driven = 0.5 * piece * (start[0] + slope[0] * moment);
        const turned = heading + (start[1] + 0.5 * slope[1] * moment) * moment;
        x += driven * Math.cos(turned);
        y += driven * Math.sin(turned);
      }
      points.push([x, y]);
    }
    return points;
  }

  /** The change of heading in one step. */
  turn(control: Pair, velocity: Pair): number {
    return this.integrator === "ramp" ? 0.5 * this.dt * (velocity[1] + control[1]) : control[1] * this.dt;
  }

  /** Turn towards a direction as fast as allowed, at the speed v̄·max(0, cos(heading error)). */
  steer(heading: number, course: Pair): Pair {
    const error = wrapAngle(Math.atan2(course[1], course[0]) - heading);
    const { max_speed, max_turn_rate } = this.limits;
    return [max_speed * Math.max(0, Math.cos(error)), clip(error / this.dt, -max_turn_rate, max_turn_rate)];
  }
}

export function clip(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** The same angle in [−π, π). */
export function wrapAngle(angle: number): number {
  const turn = 2 * Math.PI;
  const wrapped = ((((angle + Math.PI) % turn) + turn) % turn) - Math.PI;
  return wrapped >= Math.PI ? -Math.PI : wrapped;
}
