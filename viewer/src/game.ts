/** The rules of the game: src/safepursuit/game/rules.py and motion.py for one game, in double precision. */
import { clip, wrapAngle, type Robot } from "./robot";
import type { Disc, Pair, Pose } from "./recording";

export interface Game {
  pursuer: Robot;
  evader: Robot;
  half: Pair;
  captureRadius: number;
  horizon: number;
}

export interface RobotState {
  pose: Pose;
  /** Executed in the last step. */
  control: Pair;
}

export interface GameState {
  pursuer: RobotState;
  evader: RobotState;
  discs: Disc[];
  step: number;
}

interface Move {
  pose: Pose;
  control: Pair;
  /** Positions at equally spaced moments of the step, its ends included. */
  way: Pair[];
  wall: boolean;
  disc: boolean;
}

export interface Outcome {
  state: GameState;
  captured: boolean;
  truncated: boolean;
  /** Each robot's own contacts with walls, discs, and the other robot. */
  contacts: { pursuer: boolean; evader: boolean };
  separation: number;
}

const PIECES = 8;

export function transition(state: GameState, controls: { pursuer: Pair; evader: Pair }, game: Game): Outcome {
  const pursuer = move(game.pursuer, state.pursuer, controls.pursuer, state.discs, game.half);
  const evader = move(game.evader, state.evader, controls.evader, state.discs, game.half);
  let separation = Infinity;
  for (let i = 0; i + 1 < pursuer.way.length; i++) {
    const [p, q, e, f] = [pursuer.way[i]!, pursuer.way[i + 1]!, evader.way[i]!, evader.way[i + 1]!];
    const start: Pair = [e[0] - p[0], e[1] - p[1]];
    separation = Math.min(separation, segmentMinimum(start, [f[0] - q[0] - start[0], f[1] - q[1] - start[1]]));
  }
  const captured = separation <= game.captureRadius;
  const touching = separation < game.pursuer.radius + game.evader.radius;
  const [before, opposite] = [state.pursuer.pose, state.evader.pose];
  const towards: Pair = [opposite[0] - before[0], opposite[1] - before[1]];
  const along = (from: Pose, to: Pose): number => towards[0] * (to[0] - from[0]) + towards[1] * (to[1] - from[1]);
  const contacts = {
    pursuer: pursuer.wall || pursuer.disc || (touching && along(before, pursuer.pose) > 0),
    evader: evader.wall || evader.disc || (touching && along(opposite, evader.pose) < 0),
  };
  const next = {
    pursuer: { pose: pursuer.pose, control: pursuer.control },
    evader: { pose: evader.pose, control: evader.control },
    discs: state.discs,
    step: state.step + 1,
  };
  return { state: next, captured, truncated: next.step >= game.horizon && !captured, contacts, separation };
}

function move(robot: Robot, { pose, control: velocity }: RobotState, asked: Pair, discs: Disc[], half: Pair): Move {
  const control = robot.reach(asked, velocity);
  const follow = robot.integrator === "euler" ? followLine : followCurve;
  const { way, wall, disc } = follow(robot, pose, control, velocity, discs, half);
  const [x, y] = way[way.length - 1]!;
  return { pose: [x, y, wrapAngle(pose[2] + robot.turn(control, velocity))], control, way, wall, disc };
}

type Way = Pick<Move, "way" | "wall" | "disc">;

function followLine(robot: Robot, pose: Pose, control: Pair, _: Pair, discs: Disc[], half: Pair): Way {
  const start: Pair = [pose[0], pose[1]];
  const ahead: Pair = [Math.cos(pose[2]), Math.sin(pose[2])];
  const { end, wall, disc } = advance(robot, start, ahead, control[0] * robot.dt, discs, half);
  return { way: [start, end], wall, disc };
}

function followCurve(robot: Robot, pose: Pose, control: Pair, velocity: Pair, discs: Disc[], half: Pair): Way {
  const way: Pair[] = [[pose[0], pose[1]]];
  let [wall, disc] = [false, false];
  for (const target of robot.way(pose, control, PIECES, velocity)) {
    const place = way[way.length - 1]!;
    const toDisc = Math.min(Infinity, ...discs.map(([x, y, radius]) => Math.hypot(target[0] - x, target[1] - y) - radius));
    const toWall = Math.min(half[0] - Math.abs(target[0]), half[1] - Math.abs(target[1]));
    const free = !(wall || disc);
    const enters = free && Math.min(toDisc, toWall) < robot.radius;
    const chord: Pair = [target[0] - place[0], target[1] - place[1]];
    const size = Math.hypot(...chord);
    const along: Pair = size > 0 ? [chord[0] / size, chord[1] / size] : [0, 0];
    way.push(enters ? advance(robot, place, along, size, discs, half).end : free ? target : place);
    wall ||= enters && toWall <= toDisc;
    disc ||= enters && toDisc < toWall;
  }
  return { way, wall, disc };
}

/** Straight ahead for the distance, or until the body touches; at the rim only inward motion is stopped. */
function advance(robot: Robot, start: Pair, ahead: Pair, distance: number, discs: Disc[], half: Pair): { end: Pair; wall: boolean; disc: boolean } {
  let disc = Infinity;
  for (const [x, y, radius] of discs) disc = Math.min(disc, rayDiscHit([start[0] - x, start[1] - y], ahead, radius + robot.radius));
  const wall = Math.min(
    raySlabHit(start[0], ahead[0], half[0] - robot.radius),
    raySlabHit(start[1], ahead[1], half[1] - robot.radius),
  );
  const nearest = Math.min(disc, wall);
  const blocked = nearest < distance;
  const travelled = blocked ? nearest : distance;
  const end: Pair = [start[0] + travelled * ahead[0], start[1] + travelled * ahead[1]];
  return { end, wall: blocked && wall <= disc, disc: blocked && disc < wall };
}

/** Distance along a unit vector to a disc about the origin; infinite for a miss, 0 inside on an inward ray. */
export function rayDiscHit(start: Pair, ray: Pair, radius: number): number {
  const along = start[0] * ray[0] + start[1] * ray[1];
  const across = start[0] * ray[1] - start[1] * ray[0];
  const discriminant = radius ** 2 - across ** 2;
  return along < 0 && discriminant > 0 ? Math.max(0, -along - Math.sqrt(discriminant)) : Infinity;
}

/** Distance until a coordinate that changes by `ray` per metre leaves ±`limit`. */
export function raySlabHit(position: number, ray: number, limit: number): number {
  const room = ray > 0 ? limit - position : limit + position;
  return ray === 0 ? Infinity : Math.max(0, room) / Math.abs(ray);
}

/** Least distance to the origin of a point that moves straight from `start` by `motion`. */
export function segmentMinimum(start: Pair, motion: Pair): number {
  const travel = motion[0] ** 2 + motion[1] ** 2;
  const share = travel > 0 ? clip(-(start[0] * motion[0] + start[1] * motion[1]) / travel, 0, 1) : 0;
  return Math.hypot(start[0] + share * motion[0], start[1] + share * motion[1]);
}
