/** The page of trainings in progress: it asks its server every few seconds. */
import { element, named } from "./canvas";
import { chart, short, type Curve } from "./curve";
import { Gallery, type Newest } from "./newest";

interface Run {
  name: string;
  about: string;
  timesteps: number | null;
  state: "running" | "waiting" | "finished" | "stopped" | "damaged";
  trouble: string;
  metrics: Record<string, (number | null)[]>;
  newest: Newest | null;
}

const CHARTS: [string, string][] = [
  ["captured episodes", "pursuit/capture_rate"],
  ["return of an episode", "pursuit/return"],
  ["capture time [s]", "pursuit/capture_time"],
  ["own contacts in a rollout", "safety/collisions"],
  ["least clearance [m]", "safety/min_clearance"],
  ["intervention", "qp/intervention_rate"],
  ["correction [half-widths]", "qp/correction"],
  ["infeasible programs", "qp/infeasible_rate"],
  ["safety layer [µs a control]", "qp/time_us"],
  ["KL divergence", "ppo/kl"],
  ["explained variance", "ppo/explained_variance"],
  ["speed [steps/s]", "time/steps_per_second"],
];

const EVERY = 2000;

function last(run: Run, metric: string): number | null {
  const values = run.metrics[metric] ?? [];
  for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null && values[i] !== undefined) return values[i]!;
  return null;
}

function duration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function row(run: Run, index: number): HTMLElement {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const mark = document.createElement("i");
  mark.style.borderColor = `var(--run${index % 6})`;
  const about = document.createElement("span");
  about.className = "quiet";
  about.append(named(run.about));
  head.append(mark, named(run.name), about);
  line.append(head);
  const cell = (...content: (Node | string)[]): HTMLElement => {
    const made = document.createElement("td");
    made.append(...content);
    line.append(made);
    return made;
  };
  if (run.state === "damaged") {
    const told = cell(named(run.trouble));
    (told as HTMLTableCellElement).colSpan = 7;
    told.className = "wrong";
    return line;
  }
  const [steps, speed] = [last(run, "steps") ?? 0, last(run, "time/steps_per_second")];
  cell(run.state);
  const bar = document.createElement("progress");
  bar.max = run.timesteps ?? steps;
  bar.value = steps;
  bar.setAttribute("aria-label", "share of the training");
  cell(bar, `${short(steps)}${run.timesteps ? ` of ${short(run.timesteps)}` : ""}`);
  cell(speed === null ? "–" : Math.round(speed).toLocaleString("en"));
  const left = run.timesteps && speed && run.state === "running" ? Math.max(0, run.timesteps - steps) / speed : null;
  cell(left === null ? "–" : duration(left));
  const share = (metric: string): string => {
    const value = last(run, metric);
    return value === null ? "–" : `${(100 * value).toFixed(1)} %`;
  };
  cell(share("pursuit/capture_rate"));
  cell(String(last(run, "safety/collisions") ?? "–"));
  cell(share("qp/infeasible_rate"));
  return line;
}

function figure(runs: Run[], title: string, metric: string): HTMLElement {
  const made = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const values = document.createElement("span");
  values.textContent = runs.map((run) => last(run, metric)).map((value) => (value === null ? "–" : short(value))).join(" · ");
  caption.append(title, values);
  const curves: Curve[] = runs.map((run) => ({ steps: run.metrics.steps ?? [], values: run.metrics[metric] ?? [] }));
  made.append(caption, chart(curves, `${title} over the steps of ${runs.length} runs`));
  return made;
}

const gallery = new Gallery(element("newest"));

async function refresh(): Promise<void> {
  try {
    const answer = await fetch("data");
    if (!answer.ok) throw new Error(answer.statusText);
    const runs = (await answer.json()) as Run[];
    element("runs").replaceChildren(...runs.map(row));
    element("charts").replaceChildren(...CHARTS.map(([title, metric]) => figure(runs, title, metric)));
    gallery.show(runs);
    element("state").textContent = `Read at ${new Date().toLocaleTimeString()}; reads itself anew every ${EVERY / 1000} s.`;
    Object.assign(globalThis, { safepursuit: { runs, reads: ((globalThis as { safepursuit?: { reads: number } }).safepursuit?.reads ?? 0) + 1 } });
  } catch {
    element("state").textContent = "The server does not answer: start safepursuit watch again.";
  }
  setTimeout(() => void refresh(), EVERY);
}

if (location.protocol === "file:") element("state").textContent = "This page needs its server: safepursuit watch RUN.";
else void refresh();
