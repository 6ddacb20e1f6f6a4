/** The arena from above. */
import type { Colours, Sheet } from "./canvas";
import type { About, Disc, Edge, Pair, Pose } from "./recording";

export interface Ground {
  half: Pair;
  discs: Disc[];
  edges: Edge[];
  movers: Disc[];
  room: About["room"];
}

/** World [m] ↔ CSS pixels: a rectangle about `centre`, `span` metres wide. */
export class View {
  readonly scale: number;

  constructor(readonly sheet: Sheet, readonly centre: Pair, span: number) {
    this.scale = sheet.width / span;
  }

  at(x: number, y: number): Pair {
    const { width, height } = this.sheet;
    return [width / 2 + (x - this.centre[0]) * this.scale, height / 2 - (y - this.centre[1]) * this.scale];
  }

  world(left: number, top: number): Pair {
    const { width, height } = this.sheet;
    return [this.centre[0] + (left - width / 2) / this.scale, this.centre[1] - (top - height / 2) / this.scale];
  }
}

/** Walls, discs and what moves; the boundaries in `lit` (discs, movers, walls at +x, −x, +y, −y, then edges) stand out. */
export function drawGround(view: View, ground: Ground, colours: Colours, lit: Set<number>): void {
  const { context } = view.sheet;
  const [x, y] = ground.half;
  const [left, top] = view.at(-x, y);
  const [width, height] = [2 * x * view.scale, 2 * y * view.scale];
  context.fillStyle = colours.disc;
  context.fillRect(0, 0, view.sheet.width, view.sheet.height);
  context.fillStyle = colours.paper;
  if (ground.room) {
    area(view, ground.room.outline);
    context.fillStyle = colours.disc;
    for (const corners of ground.room.solid) area(view, corners);
  } else context.fillRect(left, top, width, height);
  context.lineWidth = 1;
  [...ground.discs, ...ground.movers].forEach(([cx, cy, radius], i) => {
    disc(view, [cx, cy], radius * view.scale);
    context.fillStyle = colours.disc;
    context.fill();
    if (lit.has(i)) outline(context, colours.barrier, 3);
  });
  context.lineCap = "round";
  for (const [x1, y1, x2, y2] of ground.edges) line(view, [[x1, y1], [x2, y2]], colours.soft, 2);
  const walls: Edge[] = [[x, -y, x, y], [-x, -y, -x, y], [-x, y, x, y], [-x, -y, x, -y]];
  [...walls, ...ground.edges].forEach(([x1, y1, x2, y2], i) => {
    if (lit.has(ground.discs.length + ground.movers.length + i)) line(view, [[x1, y1], [x2, y2]], colours.barrier, 4);
  });
}

/** Fills what these corners surround. */
function area(view: View, corners: Pair[]): void {
  outlined(view, corners);
  view.sheet.context.fill();
}

function outlined(view: View, corners: Pair[]): void {
  const { context } = view.sheet;
  context.beginPath();
  for (const [x, y] of corners) context.lineTo(...view.at(x, y));
  context.closePath();
}

export function line(view: View, points: Pair[], colour: string, width: number, dash: number[] = []): void {
  const { context } = view.sheet;
  context.beginPath();
  points.forEach(([x, y], i) => {
    const [left, top] = view.at(x, y);
    if (i) context.lineTo(left, top);
    else context.moveTo(left, top);
  });
  context.setLineDash(dash);
  context.lineJoin = "round";
  outline(context, colour, width);
  context.setLineDash([]);
}

function outline(context: CanvasRenderingContext2D, colour: string, width: number): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function disc(view: View, [x, y]: Pair, radius: number): void {
  const [left, top] = view.at(x, y);
  view.sheet.context.beginPath();
  view.sheet.context.arc(left, top, Math.max(0, radius), 0, 2 * Math.PI);
}

/** A circle of `radius` metres. */
export function ring(view: View, centre: Pair, radius: number, colour: string, width: number, dash: number[] = []): void {
  disc(view, centre, radius * view.scale);
  view.sheet.context.setLineDash(dash);
  outline(view.sheet.context, colour, width);
  view.sheet.context.setLineDash([]);
}

const LEAST = 6;

/** A robot as its body, at least a few pixels large, with its heading. */
export function drawRobot(view: View, [x, y, heading]: Pose, radius: number, colour: string, paper: string): void {
  const { context } = view.sheet;
  const size = Math.max(radius * view.scale, LEAST);
  disc(view, [x, y], size + 1.5);
  context.fillStyle = paper;
  context.fill();
  disc(view, [x, y], size);
  context.fillStyle = colour;
  context.fill();
  const [left, top] = view.at(x, y);
  context.beginPath();
  context.moveTo(left + 0.25 * size * Math.cos(heading), top - 0.25 * size * Math.sin(heading));
  context.lineTo(left + 1.8 * size * Math.cos(heading), top - 1.8 * size * Math.sin(heading));
  context.lineCap = "round";
  outline(context, colour, Math.max(2, 0.3 * size));
}

/** Where the centre would be over the next second if the control were held. */
export function prediction([x, y, heading]: Pose, [speed, turn]: Pair, dt: number): Pair[] {
  const points: Pair[] = [[x, y]];
  for (let step = 0; step < Math.round(1 / dt); step++) {
    x += speed * dt * Math.cos(heading);
    y += speed * dt * Math.sin(heading);
    heading += turn * dt;
    points.push([x, y]);
  }
  return points;
}

/** The sector that the step and the stop after it stay within, for the body of this radius. */
export function drawSector(view: View, [x, y, heading]: Pose, [way, low, high]: [number, number, number], radius: number, colour: string, colours: Colours): void {
  const points: Pair[] = [[x, y]];
  for (let i = 0; i <= 16; i++) {
    const angle = heading + low + ((high - low) * i) / 16;
    points.push([x + way * Math.cos(angle), y + way * Math.sin(angle)]);
  }
  points.push([x, y]);
  line(view, points, colours.safe, 2 * radius * view.scale);
  line(view, points, colour, 1);
}

/** Level sets of h about discs, walls and edges: where the virtual control point has h = `level`. */
export function drawLevels(view: View, ground: Ground, standoffs: number[], levels: number[], colours: Colours): void {
  const { context } = view.sheet;
  const [wall, edge] = standoffs.slice(-2) as Pair;
  context.save();
  if (ground.room) {
    outlined(view, ground.room.outline);
    context.clip();
  }
  levels.forEach((level, i) => {
    const dash = i ? [3, 4] : [];
    ground.discs.forEach(([x, y, radius], k) => ring(view, [x, y], radius + standoffs[k]! + level, colours.barrier, 1.2, dash));
    for (const one of ground.edges) around(view, one, edge + level, colours.barrier, dash);
    if (ground.room) return; // Its outer wall is made of edges, within the arena's four walls.
    const [x, y] = [ground.half[0] - wall - level, ground.half[1] - wall - level];
    line(view, [[-x, -y], [x, -y], [x, y], [-x, y], [-x, -y]], colours.barrier, 1.2, dash);
  });
  context.restore();
}

/** The line at this distance [m] from an edge. */
function around(view: View, [x1, y1, x2, y2]: Edge, distance: number, colour: string, dash: number[]): void {
  const { context } = view.sheet;
  const along = Math.atan2(y1 - y2, x2 - x1); // on the screen
  context.beginPath();
  context.arc(...view.at(x2, y2), distance * view.scale, along - Math.PI / 2, along + Math.PI / 2);
  context.arc(...view.at(x1, y1), distance * view.scale, along + Math.PI / 2, along - Math.PI / 2);
  context.closePath();
  context.setLineDash(dash);
  outline(context, colour, 1.2);
  context.setLineDash([]);
}

/** A pose on the straight line between two, with the shorter turn. */
export function between(before: Pose, after: Pose, share: number): Pose {
  const turn = Math.atan2(Math.sin(after[2] - before[2]), Math.cos(after[2] - before[2]));
  return [before[0] + share * (after[0] - before[0]), before[1] + share * (after[1] - before[1]), before[2] + share * turn];
}
