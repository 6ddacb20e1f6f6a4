/** Beside the arena: the control space of the present step, and strips over the episode. */
import { element, FONT, sheet, type Colours } from "./canvas";
import { drawControlSpace } from "./controlspace";
import type { Point } from "./polygon";
import type { Recording } from "./recording";
import { StripChart, type Line, type Strip } from "./strips";

const TITLES = ["distance to the evader", "clearance of each boundary", "gain γ of the nearest boundary", "correction"];

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
    const { inertia, dt } = this.recording.about;
    return drawControlSpace(surface, program, { inertia, dt, active }, colours);
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

  /** One line per disc and wall from the poses, and the least of all during each step, by the referee. */
  private clearances(episode: number, steps: number): Line[] {
    const { recording } = this;
    const { half_extents: half, robot_radius: radius } = recording.about;
    const discs = recording.discs(episode);
    const lines: Line[] = Array.from({ length: discs.length + 4 }, () => ({ values: new Float64Array(steps + 1), colour: "disc", width: 1 }));
    for (let step = 0; step <= steps; step++) {
      const [x, y] = recording.pose("pursuer", episode, step);
      discs.forEach(([cx, cy, size], i) => (lines[i]!.values[step] = Math.hypot(x - cx, y - cy) - size - radius));
      [half[0] - x, half[0] + x, half[1] - y, half[1] + y].forEach((room, i) => (lines[discs.length + i]!.values[step] = room - radius));
    }
    const least = Float64Array.from({ length: steps }, (_, step) => recording.value("clearance", episode, step));
    return [...lines, { values: least, colour: "pursuer", width: 1.8 }];
  }
}
