/** The replay page. */
import { between, drawGround, drawLevels, drawRobot, drawSector, line, prediction, ring, View } from "./arena";
import { colours, element, named, onLook, sheet, trouble } from "./canvas";
import { EpisodeList, type Order } from "./episodes";
import { linkTo, parseLink } from "./link";
import { Panel } from "./panel";
import type { Point } from "./polygon";
import { Recording, type About, type Pair, type Pose, type Role } from "./recording";
import { unpack } from "./unpack";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const CLOSE = 5;
const REST = 1500; // milliseconds at the end of an episode, before the next one

/** What is on the screen, for tests and for pages around this one. */
interface Drawn {
  episode: number;
  step: number;
  pursuer: Pose;
  evader: Pose;
  /** CSS pixels of the two centres within the arena's canvas. */
  places: { pursuer: Pair; evader: Pair };
  polygon: Point[];
}

class Replay {
  private episode = 0;
  private step = 0;
  private time = 0;
  private playing = false;
  private last = 0;
  private speed = 1;
  private close = false;
  private levels = false;
  private look = colours();
  private readonly list: EpisodeList;
  private readonly panel: Panel;
  private readonly timeline = element<HTMLInputElement>("timeline");
  private moved = 0;
  /** In a frame of the page of trainings: little but the arena, one episode after the other. */
  private readonly looping = location.hash === "#loop";
  drawn: Drawn | null = null;
  readonly frames: number[] = [];

  constructor(readonly recording: Recording) {
    const { about } = recording;
    element("title").replaceChildren(named(about.title));
    document.title = about.title;
    document.body.dataset.role = about.role;
    element("controls").textContent = `Controls: what the ${about.role}’s safety layer allows`;
    element("note").hidden = !about.note;
    element("note").replaceChildren(named(about.note));
    this.panel = new Panel(recording, (step) => this.seek(step));
    this.list = new EpisodeList(element("episodes"), recording, (episode) => this.select(episode));
    if (this.looping) document.body.dataset.look = "loop";
    this.connect();
    this.follow();
    if (this.looping && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.toggle();
    onLook(() => {
      this.look = colours();
      this.panel.show(this.episode, this.look);
      this.draw();
    });
  }

  private connect(): void {
    element("play").addEventListener("click", () => this.toggle());
    element("back").addEventListener("click", () => this.seek(this.step - 1));
    element("on").addEventListener("click", () => this.seek(this.step + 1));
    this.timeline.addEventListener("input", () => this.seek(Number(this.timeline.value)));
    element<HTMLSelectElement>("speed").addEventListener("change", (event) => this.setSpeed(Number((event.target as HTMLSelectElement).value)));
    element<HTMLSelectElement>("sort").addEventListener("change", (event) => this.list.sort((event.target as HTMLSelectElement).value as Order));
    element("zoom").addEventListener("click", () => this.switch("zoom"));
    element("levels").addEventListener("click", () => this.switch("levels"));
    element("link").addEventListener("click", () => {
      this.remember();
      navigator.clipboard?.writeText(location.href).then(
        () => (element("link").textContent = "Copied"),
        () => (element("link").textContent = "The address names it"),
      );
    });
    addEventListener("hashchange", () => this.follow());
    addEventListener("keydown", (event) => this.key(event));
  }

  private switch(which: "zoom" | "levels"): void {
    if (which === "zoom") this.close = !this.close;
    else this.levels = !this.levels;
    element(which).setAttribute("aria-pressed", String(which === "zoom" ? this.close : this.levels));
    this.draw();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
    if (event.key === " " && event.target instanceof HTMLButtonElement) return;
    const far = event.shiftKey ? 10 : 1;
    const steps = this.recording.length(this.episode);
    const actions: Record<string, () => void> = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.seek(this.step - far),
      ArrowRight: () => this.seek(this.step + far),
      Home: () => this.seek(0),
      End: () => this.seek(steps),
      ArrowUp: () => this.select(this.list.beside(this.episode, -1)),
      ArrowDown: () => this.select(this.list.beside(this.episode, 1)),
      "+": () => this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + 1)]!),
      "-": () => this.setSpeed(SPEEDS[Math.max(0, SPEEDS.indexOf(this.speed) - 1)]!),
      z: () => this.switch("zoom"),
      l: () => this.switch("levels"),
      i: () => this.nextHeld(),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  private nextHeld(): void {
    const steps = this.recording.length(this.episode);
    for (let ahead = 1; ahead <= steps; ahead++) {
      const step = (this.step + ahead) % steps;
      if (this.recording.flag(this.episode, step, 1)) return this.seek(step);
    }
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    element<HTMLSelectElement>("speed").value = String(speed);
  }

  /** Goes to the instant that the address names. */
  private follow(): void {
    const { number, time } = parseLink(location.hash);
    let episode = 0;
    for (let i = 0; i < this.recording.count; i++) if (this.recording.number(i) === number) episode = i;
    this.select(episode, time === null ? 0 : Math.round(time / this.recording.about.dt));
  }

  select(episode: number, step = 0): void {
    this.episode = episode;
    this.timeline.max = String(this.recording.length(episode));
    this.list.mark(episode);
    this.list.focus(episode);
    this.panel.show(episode, this.look);
    this.seek(step);
  }

  seek(step: number): void {
    this.pause();
    this.place(Math.min(this.recording.length(this.episode), Math.max(0, Math.round(step))));
    this.draw();
    clearTimeout(this.moved);
    this.moved = window.setTimeout(() => this.remember(), 300);
  }

  private remember(): void {
    if (this.looping) return;
    try {
      history.replaceState(null, "", linkTo(this.recording.number(this.episode), this.step * this.recording.about.dt));
    } catch {
      // A page without an address of its own, such as one in a frame, keeps none.
    }
  }

  private place(step: number): void {
    this.step = step;
    this.time = step * this.recording.about.dt;
  }

  toggle(): void {
    if (this.playing) return this.seek(this.step);
    if (this.step >= this.recording.length(this.episode)) this.place(0);
    this.playing = true;
    this.say();
    this.last = performance.now();
    this.frames.length = 0;
    requestAnimationFrame((now) => this.frame(now));
  }

  private pause(): void {
    this.playing = false;
    this.say();
  }

  private say(): void {
    const play = element("play");
    play.querySelector("path")!.setAttribute("d", this.playing ? "M5 3v10M11 3v10" : "M4 2.5L13 8L4 13.5Z");
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }

  private frame(now: number): void {
    if (!this.playing) return;
    const elapsed = Math.max(0, now - this.last);
    this.last = now;
    const { about } = this.recording;
    const end = this.recording.length(this.episode);
    this.time += (this.speed * elapsed) / 1000;
    this.step = Math.min(end, Math.floor(this.time / about.dt + 1e-9));
    if (this.step >= end) {
      this.seek(end);
      if (this.looping) setTimeout(() => this.goOn(), REST);
      return;
    }
    const start = performance.now();
    this.draw();
    this.frames.push(elapsed, performance.now() - start);
    requestAnimationFrame((next) => this.frame(next));
  }

  /** Plays the episode after this one, unless somebody has gone elsewhere. */
  private goOn(): void {
    if (this.playing || this.step !== this.recording.length(this.episode)) return;
    this.select((this.episode + 1) % this.recording.count);
    this.toggle();
  }

  private draw(): void {
    const { recording, episode, step, look } = this;
    const { about } = recording;
    const canvas = element<HTMLCanvasElement>("arena");
    const [left, right, low, high] = about.bounds;
    const whole = 1.03 * (right - left);
    const height = this.close ? canvas.clientWidth : (canvas.clientWidth * (high - low + 0.03 * (right - left))) / whole;
    const surface = sheet(canvas, Math.min(height, 1.5 * canvas.clientWidth));
    // Between two steps, while playing, the robots are on the straight line between their poses.
    const share = this.playing ? Math.min(1, this.time / about.dt - step) : 0;
    const [pursuer, evader] = [this.pose("pursuer", share), this.pose("evader", share)];
    const own = about.role === "pursuer" ? pursuer : evader;
    const span = this.close ? CLOSE * Math.max(0.2, about.robot_radius / 0.15) : whole;
    const view = new View(surface, this.close ? [own[0], own[1]] : [(left + right) / 2, (low + high) / 2], span);
    const last = Math.max(0, Math.min(step, recording.length(episode) - 1));
    const held = recording.length(episode) > 0 && recording.flag(episode, last, 1) && step < recording.length(episode);
    const ground = { half: about.half_extents, discs: recording.discs(episode), edges: recording.edges(episode), movers: recording.movers(episode, step), room: about.room };
    drawGround(view, ground, look, new Set(held ? recording.active(episode, last) : []));
    if (this.levels) drawLevels(view, ground, recording.standoffs(episode), about.level === null ? [0] : [0, about.level], look);
    this.traces(view, step, pursuer, evader);
    ring(view, [evader[0], evader[1]], about.capture_radius, look.capture, 1.5, [4, 4]);
    this.ahead(view, own, last);
    drawRobot(view, evader, about.evader_radius, look.evader, look.paper);
    drawRobot(view, pursuer, about.robot_radius, look.pursuer, look.paper);
    if (this.levels) ring(view, [own[0] + about.offset * Math.cos(own[2]), own[1] + about.offset * Math.sin(own[2])], 0.02, look.barrier, 2);
    const polygon = this.panel.at(step, look);
    this.words(step, last);
    const places = { pursuer: view.at(pursuer[0], pursuer[1]), evader: view.at(evader[0], evader[1]) };
    this.drawn = { episode, step, pursuer, evader, places, polygon };
  }

  private pose(who: Role, share: number): Pose {
    const before = this.recording.pose(who, this.episode, this.step);
    if (!share || this.step >= this.recording.length(this.episode)) return before;
    return between(before, this.recording.pose(who, this.episode, this.step + 1), share);
  }

  private traces(view: View, step: number, pursuer: Pose, evader: Pose): void {
    for (const [who, colour, now] of [["evader", this.look.evader, evader], ["pursuer", this.look.pursuer, pursuer]] as const) {
      const points: Pair[] = [];
      for (let i = 0; i <= step; i++) {
        const [x, y] = this.recording.pose(who, this.episode, i);
        points.push([x, y]);
      }
      points.push([now[0], now[1]]);
      view.sheet.context.globalAlpha = 0.55;
      line(view, points, colour, 1.6);
      view.sheet.context.globalAlpha = 1;
    }
  }

  /** The next second under the nominal and under the executed control; the stop sector of a robot with inertia. */
  private ahead(view: View, own: Pose, last: number): void {
    const { recording, episode, look } = this;
    if (!recording.length(episode)) return;
    const sector = recording.sector(episode, last);
    const { dt, role } = recording.about;
    if (sector) drawSector(view, own, sector, recording.radius, look[role], look);
    line(view, prediction(own, recording.pair("nominal", episode, last), dt), look.ink, 1.4, [4, 3]);
    line(view, prediction(own, recording.control(episode, last), dt), look[role], 2);
  }

  private words(step: number, last: number): void {
    const { recording, episode } = this;
    const time = `${(step * recording.about.dt).toFixed(2)} s`;
    this.timeline.value = String(step);
    this.timeline.setAttribute("aria-valuetext", `${time} of ${(recording.length(episode) * recording.about.dt).toFixed(2)} s`);
    const [v, w] = recording.length(episode) ? recording.control(episode, last) : [0, 0];
    element("now").textContent = `episode ${recording.number(episode)} · ${time} · v ${v.toFixed(2)} m/s · ω ${w.toFixed(2)} rad/s`.replace(/-/g, "−");
  }
}

async function open(): Promise<void> {
  try {
    const data = await unpack<About>(element("data").textContent ?? "", "replay");
    element("data").remove();
    Object.assign(globalThis, { safepursuit: new Replay(new Recording(data)), opened: performance.now() });
  } catch (error) {
    trouble(error);
  }
}

void open();
