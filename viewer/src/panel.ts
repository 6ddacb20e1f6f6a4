/** Beside the arena: the control space of the present step, and strips over the episode. */
import { element, FONT, sheet, type Colours } from "./canvas";
import { drawControlSpace } from "./controlspace";
import type { Point } from "./polygon";
import type { Edge, Pair, Recording } from "./recording";
import { StripChart, type Line, type Strip } from "./strips";

const TITLES = ["distance of the robots", "clearance of each boundary", "gain γ of the nearest boundary", "correction"];

export class Panel {
  private readonly charts: { chart: StripChart; value: HTMLElement; box: HTMLElement }[];
  private strips: (Strip | null)[] = [];
  private episode = 0;

  constructor(private readonly recording: Recording, seek: (step: number) => void) {
    this.charts = TITLES.map((title) => {
      const box = document.createElement("div");
      box.className = "strip";
      const [label, name, value, canvas] = [document.createElement("p"), document.createElement("span"), document.createElement("span"), document.createElement("canvas")];
      name.textContent = title;
      label.append(name, value);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${title} over time`);
      box.append(label, canvas);
      element("strips").append(box);
      return { chart: new StripChart(canvas, seek), value, box };
    });
    const unknown = element("unknown");
    if (!recording.hasPrograms) {
      unknown.hidden = false;
      unknown.textContent = "No half-planes: nothing enforces barriers here, or the layer is not known.";
      element("program-key").hidden = true;
    }
  }

  /** Draws what does not change within an episode. */
  show(episode: number, colours: Colours): void {
    this.episode = episode;
    this.strips = this.strips_of(episode);
    const steps = this.recording.length(episode);
    const shaded = Array.from({ length: steps }, (_, step) => this.recording.flag(episode, step, 1));
    this.strips.forEach((strip, i) => {
      this.charts[i]!.box.hidden = strip === null;
      if (strip) this.charts[i]!.chart.show(strip, steps, shaded, colours);
    });
  }

  /** Draws the step, and returns the corners of its safe polygon. */
  at(step: number, colours: Colours): Point[] {
    const { recording, episode } = this;
    const last = Math.max(0, Math.min(step, recording.length(episode) - 1));
    this.strips.forEach((strip, i) => {
      const { chart, value } = this.charts[i]!;
      if (!strip) return;
      chart.cursor(step, colours);
      const line = strip.lines[strip.lines.length - 1]!.values;
      const number = line[Math.min(step, line.length - 1)]!;
      value.textContent = Number.isFinite(number) ? `${number.toFixed(strip.digits).replace("-", "−")} ${strip.unit}` : "–";
    });
    const active = recording.active(episode, last);
    const governed = recording.flag(episode, last, 1) && !active.length;
    const names = active.map((i) => recording.about.boundaries[i]!);
    element("held").textContent = names.length ? `held by ${names.join(", ")}` : governed ? "held by the governor" : "the control is the nominal one";
    return this.program(last, new Set(active), colours);
  }

  private program(step: number, active: Set<number>, colours: Colours): Point[] {
    const canvas = element<HTMLCanvasElement>("program");
    const program = this.recording.length(this.episode) ? this.recording.program(this.episode, step) : null;
    canvas.hidden = !program;
    if (!program) return [];
    const surface = sheet(canvas, Math.min(300, 0.72 * canvas.clientWidth));
    if (!program.box.every(Number.isFinite)) {
      surface.context.font = FONT;
      surface.context.fillStyle = colours.soft;
      surface.context.fillText("not finite", 10, 20);
      return [];
    }
    const { inertia, dt, role } = this.recording.about;
    return drawControlSpace(surface, program, { inertia, dt, active, role }, colours);
  }

  private strips_of(episode: number): (Strip | null)[] {
    const { recording } = this;
    const steps = recording.length(episode);
    const over = (count: number, value: (step: number) => number): Float64Array => Float64Array.from({ length: count }, (_, i) => value(i));
    const distance = over(steps + 1, (step) => recording.distance(episode, step));
    const correction = over(steps, (step) => recording.value("correction", episode, step));
    const high = Math.max(...distance.filter(Number.isFinite), 1);
    const { capture_radius } = recording.about;
    return [
      { lines: [{ values: distance, colour: "evader", width: 1.6 }], mark: { value: capture_radius, colour: "capture" }, low: 0, high, unit: "m", digits: 2 },
      { lines: this.clearances(episode, steps), mark: { value: 0, colour: "collision" }, low: -0.1, high: 2, unit: "m", digits: 3 },
      recording.hasGains
        ? { lines: [{ values: over(steps, (step) => recording.value("gain", episode, step)), colour: "barrier", width: 1.6 }], mark: null, low: 0, high: 1, unit: "", digits: 2 }
        : null,
      { lines: [{ values: correction, colour: "ink", width: 1.4 }], mark: null, low: 0, high: Math.max(1, ...correction.filter(Number.isFinite)), unit: "half-widths", digits: 3 },
    ];
  }

  /** One line per boundary from the poses, and the least of all during each step, by the referee. */
  private clearances(episode: number, steps: number): Line[] {
    const { recording } = this;
    const { half_extents: half, room, role } = recording.about;
    const [discs, edges] = [recording.discs(episode), recording.edges(episode)];
    const lines: Line[] = [];
    for (let step = 0; step <= steps; step++) {
      const [x, y] = recording.pose(role, episode, step);
      // A room's outer wall is made of edges, within the arena's four walls.
      const gaps = room ? [] : [half[0] - x, half[0] + x, half[1] - y, half[1] + y];
      for (const [cx, cy, size] of [...discs, ...recording.movers(episode, step)]) gaps.push(Math.hypot(x - cx, y - cy) - size);
      for (const edge of edges) gaps.push(distance([x, y], edge));
      gaps.forEach((gap, i) => ((lines[i] ??= { values: new Float64Array(steps + 1), colour: "disc", width: 1 }).values[step] = gap - recording.radius));
    }
    const least = Float64Array.from({ length: steps }, (_, step) => recording.value("clearance", episode, step));
    return [...lines, { values: least, colour: role, width: 1.8 }];
  }
}

/** From a point to an edge [m]. */
function distance([x, y]: Pair, [x1, y1, x2, y2]: Edge): number {
  const [along, across] = [x2 - x1, y2 - y1];
  const share = ((x - x1) * along + (y - y1) * across) / (along ** 2 + across ** 2 || 1);
  const on = Math.min(1, Math.max(0, share));
  return Math.hypot(x - x1 - on * along, y - y1 - on * across);
}
