/** A chart of one metric over the environment steps, as SVG. */

export interface Curve {
  steps: (number | null)[];
  values: (number | null)[];
}

const WIDTH = 320;
const HEIGHT = 150;
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 8, 8, 20];

/** The range of the values that are numbers, widened where they are all alike; null without any. */
export function rangeOf(curves: Curve[]): [number, number] | null {
  let [low, high] = [Infinity, -Infinity];
  for (const { values } of curves) {
    for (const value of values) {
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return null;
  const slack = low === high ? Math.max(0.5, Math.abs(low) / 2) : 0;
  return [low - slack, high + slack];
}

/** The path of a curve; where a value is missing, it goes on at the next one. */
export function pathOf({ steps, values }: Curve, most: number, [low, high]: [number, number]): string {
  let path = "";
  steps.forEach((step, i) => {
    const value = values[i];
    if (step === null || value === null || value === undefined) return;
    const x = LEFT + (step / most) * (WIDTH - LEFT - RIGHT);
    const y = TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    path += `${path ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return path;
}

function svg(name: string, attributes: Record<string, string | number>, text = ""): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

export function chart(curves: Curve[], label: string): SVGElement {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  picture.append(svg("rect", { class: "frame", x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM }));
  const range = rangeOf(curves);
  const most = Math.max(1, ...curves.flatMap(({ steps }) => steps.filter((step) => step !== null)));
  if (!range) {
    picture.append(svg("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no value yet"));
    return picture;
  }
  curves.forEach((curve, i) => picture.append(svg("path", { class: "curve", d: pathOf(curve, most, range), stroke: `var(--run${i % 6})` })));
  picture.append(svg("text", { x: LEFT - 4, y: TOP + 9, "text-anchor": "end" }, short(range[1])));
  picture.append(svg("text", { x: LEFT - 4, y: HEIGHT - BOTTOM, "text-anchor": "end" }, short(range[0])));
  picture.append(svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, `${short(most)} steps`));
  return picture;
}

export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${trimmed(value / 1e6)} M`;
  if (size >= 1e4) return `${trimmed(value / 1e3)} k`;
  if (size > 0 && size < 1e-3) return value.toExponential(0).replace("-", "−");
  return trimmed(value);
}

function trimmed(value: number): string {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}
