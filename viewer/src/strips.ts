/** Numbers of an episode over time, with the present step marked. */
import { FONT, sheet, type Colours } from "./canvas";

export interface Line {
  values: Float64Array;
  colour: keyof Colours;
  width: number;
}

export interface Strip {
  lines: Line[];
  /** A horizontal line, such as the capture radius. */
  mark: { value: number; colour: keyof Colours } | null;
  low: number;
  high: number;
  unit: string;
  digits: number;
}

const HEIGHT = 74;
const LEFT = 34;
const RIGHT = 8;

/** One strip, drawn once per episode; moving the cursor copies it. */
export class StripChart {
  private readonly kept = document.createElement("canvas");
  private strip: Strip | null = null;
  private steps = 1;

  constructor(private readonly canvas: HTMLCanvasElement, onSeek: (step: number) => void) {
    const seek = (event: PointerEvent): void => {
      const box = canvas.getBoundingClientRect();
      const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      onSeek(Math.round(Math.min(1, Math.max(0, share)) * this.steps));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      seek(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) seek(event);
    });
  }

  private left(step: number, width: number): number {
    return LEFT + (step / this.steps) * (width - LEFT - RIGHT);
  }

  /** Draws an episode of `steps` steps; those in `shaded` have a background. */
  show(strip: Strip, steps: number, shaded: boolean[], colours: Colours): void {
    this.strip = strip;
    this.steps = Math.max(1, steps);
    const { context, width, height } = sheet(this.canvas, HEIGHT);
    const top = (value: number): number => height - 4 - ((Math.min(strip.high, Math.max(strip.low, value)) - strip.low) / (strip.high - strip.low)) * (height - 12);
    context.fillStyle = colours.cut;
    shaded.forEach((on, step) => {
      if (on) context.fillRect(this.left(step, width), 0, Math.max(1, (width - LEFT - RIGHT) / this.steps), height);
    });
    context.strokeStyle = colours.line;
    context.strokeRect(LEFT + 0.5, 0.5, width - LEFT - RIGHT, height - 1);
    if (strip.mark) this.path(context, [[0, top(strip.mark.value)], [this.steps, top(strip.mark.value)]], width, colours[strip.mark.colour], 1);
    for (const { values, colour, width: thick } of strip.lines) {
      const points: [number, number][] = [];
      values.forEach((value, step) => points.push([step, Number.isFinite(value) ? top(value) : NaN]));
      this.path(context, points, width, colours[colour], thick);
    }
    context.font = FONT;
    context.fillStyle = colours.soft;
    context.textAlign = "right";
    context.textBaseline = "top";
    context.fillText(tick(strip.high), LEFT - 4, 3);
    context.textBaseline = "bottom";
    context.fillText(tick(strip.low), LEFT - 4, height - 1);
    [this.kept.width, this.kept.height] = [this.canvas.width, this.canvas.height];
    this.kept.getContext("2d")!.drawImage(this.canvas, 0, 0);
  }

  private path(context: CanvasRenderingContext2D, points: [number, number][], width: number, colour: string, thick: number): void {
    context.beginPath();
    let drawing = false;
    for (const [step, top] of points) {
      const there = Number.isFinite(top);
      if (there && drawing) context.lineTo(this.left(step, width), top);
      else if (there) context.moveTo(this.left(step, width), top);
      drawing = there;
    }
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.stroke();
  }

  cursor(step: number, colours: Colours): void {
    if (!this.strip) return;
    const { context, width, height } = sheet(this.canvas, HEIGHT);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.kept, 0, 0);
    context.restore();
    context.fillStyle = colours.ink;
    context.fillRect(this.left(step, width) - 0.75, 0, 1.5, height);
  }
}

function tick(value: number): string {
  return String(Number(value.toPrecision(2))).replace("-", "−");
}
