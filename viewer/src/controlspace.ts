/** What the safety layer sees at one step: the box of controls, the half-planes, the safe polygon, and two controls. */
import { FONT, type Colours, type Sheet } from "./canvas";
import { chord, safePolygon, type Point } from "./polygon";
import type { Pair, Program, Role } from "./recording";

export interface Look {
  inertia: boolean;
  dt: number;
  active: Set<number>;
  role: Role;
}

/** Draws the program; returns the corners of the safe polygon in its own coordinates. */
export function drawControlSpace(sheet: Sheet, program: Program, look: Look, colours: Colours): Point[] {
  const { context, width, height } = sheet;
  const [v0, v1, w0, w1] = program.box;
  const [margin, bottom, top] = [34, 34, 12];
  const slackV = 0.14 * (v1 - v0);
  const slackW = 0.1 * (w1 - w0);
  const seen: [number, number, number, number] = [v0 - slackV, v1 + slackV, w0 - slackW, w1 + slackW];
  const spanW = seen[3] - seen[2];
  const spanV = seen[1] - seen[0];
  // Left turns are on the left.
  const at = ([v, w]: Point): Pair => [
    margin + ((seen[3] - w) / spanW) * (width - margin - 8),
    top + ((seen[1] - v) / spanV) * (height - top - bottom),
  ];
  const trace = (points: Point[]): void => {
    context.beginPath();
    points.forEach((point, i) => (i ? context.lineTo(...at(point)) : context.moveTo(...at(point))));
  };
  const box: Point[] = [[v0, w0], [v1, w0], [v1, w1], [v0, w1]];
  trace(box);
  context.closePath();
  context.fillStyle = colours.cut;
  context.fill();
  const polygon = safePolygon(program.rows, program.box);
  trace(polygon);
  context.closePath();
  context.fillStyle = colours.paper;
  context.fill();
  context.fillStyle = colours.safe;
  context.fill();
  context.strokeStyle = colours[look.role];
  context.lineWidth = 1.5;
  context.stroke();
  trace(box);
  context.closePath();
  context.strokeStyle = colours.soft;
  context.lineWidth = 1;
  context.stroke();
  for (const row of program.rows) {
    const ends = chord(row, seen);
    if (!ends) continue;
    trace(ends);
    context.strokeStyle = colours.barrier;
    context.lineWidth = look.active.has(row.boundary) ? 3 : 1.2;
    context.setLineDash(look.active.has(row.boundary) ? [] : [4, 3]);
    context.stroke();
    context.setLineDash([]);
  }
  drawAxes(sheet, at, program.box, look, colours);
  drawControls(context, at(within(program.nominal, seen)), at(within(program.control, seen)), look.role, colours);
  return polygon;
}

function within([v, w]: Pair, [v0, v1, w0, w1]: [number, number, number, number]): Pair {
  return [Math.min(v1, Math.max(v0, v)), Math.min(w1, Math.max(w0, w))];
}

function drawControls(context: CanvasRenderingContext2D, nominal: Pair, control: Pair, role: Role, colours: Colours): void {
  context.beginPath();
  context.moveTo(...nominal);
  context.lineTo(...control);
  context.strokeStyle = colours.ink;
  context.lineWidth = 1;
  context.stroke();
  context.beginPath();
  context.arc(...nominal, 6, 0, 2 * Math.PI);
  context.fillStyle = colours.paper;
  context.fill();
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.stroke();
  context.beginPath();
  context.arc(...control, 4.5, 0, 2 * Math.PI);
  context.fillStyle = colours[role];
  context.fill();
}

function drawAxes(sheet: Sheet, at: (point: Point) => Pair, box: [number, number, number, number], look: Look, colours: Colours): void {
  const { context, width, height } = sheet;
  const [v0, v1, w0, w1] = box;
  context.font = FONT;
  context.fillStyle = colours.soft;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const v of [v0, v1]) context.fillText(short(v), at([v, w1])[0] - 5, at([v, w1])[1]);
  context.textBaseline = "top";
  context.textAlign = "center";
  // The program's second coordinate is sin(ωΔ); the ticks tell ω.
  const told = (w: number): string => short(look.inertia ? w : Math.asin(Math.max(-1, Math.min(1, w))) / look.dt);
  for (const w of w0 < 0 && w1 > 0 ? [w0, 0, w1] : [w0, w1]) context.fillText(told(w), at([v0, w])[0], height - 30);
  context.fillText(look.inertia ? "← left   sin(turn beyond stop)   right →" : "← left    turn rate [rad/s]    right →", width / 2 + 12, height - 14);
  context.save();
  context.translate(2, height / 2 - 10);
  context.rotate(-Math.PI / 2);
  context.fillText(look.inertia ? "way beyond stop [m/s]" : "speed [m/s]", 0, 0);
  context.restore();
}

function short(value: number): string {
  return (Math.abs(value) < 5e-4 ? 0 : value).toPrecision(3).replace(/\.?0+$/, "").replace("-", "−");
}
