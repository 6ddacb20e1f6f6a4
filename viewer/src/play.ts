/** The page in which a visitor runs from the trained pursuer. */
import { between, drawGround, drawRobot, line, prediction, ring, View } from "./arena";
import { colours, element, named, onLook, sheet, trouble } from "./canvas";
import { AWAY, Editor, type Table } from "./editor";
import { transition, type Game } from "./game";
import { Match, scripted, type Played, type Start } from "./match";
import { holder, Policy, prepare } from "./policy";
import type { Disc, Pair } from "./recording";
import { Robot, type Limits } from "./robot";
import { Score } from "./score";
import { startsOf, type About } from "./setting";
import { unpack, Unreadable, type Data } from "./unpack";
import { Wheel } from "./wheel";

const LATEST = 3;

class Play implements Table {
  match: Match;
  private policy: Policy | null = null;
  private readonly policies = new Map<number, Promise<Policy>>();
  private shielded = true;
  private paused = false;
  private startAt = 0;
  private busy = false;
  private owed = 0;
  private last = 0;
  private thinking = 0;
  private look = colours();
  view: View | null = null;
  /** As the visitor left them for the next game; null for those of the start. */
  private discs: Disc[] | null = null;
  private readonly wheel: Wheel;
  private readonly editor: Editor;
  private readonly score = new Score();

  constructor(private readonly data: Data<About>, private readonly starts: Start[]) {
    this.match = this.fresh();
    const buttons = { ahead: element("ahead"), left: element("left"), right: element("right") };
    this.wheel = new Wheel(buttons, () => this.begin());
    this.editor = new Editor(element<HTMLCanvasElement>("arena"), this, this.wheel);
    this.connect();
    onLook(() => (this.look = colours()));
  }

  get ready(): boolean {
    return this.policy !== null;
  }

  private get ratio(): number {
    return Number(element<HTMLSelectElement>("level").value);
  }

  private get method(): number {
    return Number(element<HTMLSelectElement>("method").value || 0);
  }

  game(ratio: number): Game {
    const { about } = this.data;
    const pursuer = new Robot(about.robot);
    return { pursuer, evader: pursuer.scaled(ratio), half: about.half_extents, captureRadius: about.capture_radius, horizon: about.horizon };
  }

  get most(): number {
    return Math.min(...this.data.about.models.map((one) => one.discs));
  }

  get radii(): Pair {
    return this.data.about.radius_range;
  }

  /** A new game. Of the discs that were moved or added those are left out that now stand too near a robot's start. */
  private fresh(): Match {
    const start = this.starts[this.startAt % this.starts.length]!;
    const match = new Match(this.game(this.ratio), start, (discs) => (this.discs = discs));
    if (this.discs) match.arrange(this.discs.filter((disc) => start.discs.includes(disc) || match.fits(disc, AWAY)));
    return match;
  }

  private connect(): void {
    const { models, horizon, robot } = this.data.about;
    element("method").replaceChildren(...models.map(({ name }, i) => {
      const option = document.createElement("option");
      option.value = String(i);
      option.append(named(name).textContent ?? "");
      return option;
    }));
    element("method-bar").hidden = models.length < 2;
    element("rules").textContent = `Who is not caught within ${(horizon * robot.dt).toFixed(0)} s escapes. A disc that you move or add keeps ${AWAY} m from both robots.`;
    const clicks: Record<string, () => void> = {
      restart: () => this.restart(), pause: () => this.pause(), shield: () => this.shield(), edit: () => this.edit(),
      add: () => this.editor.scatter(), remove: () => this.editor.remove(),
      shuffle: () => {
        this.startAt++;
        this.discs = null;
        this.restart();
      },
    };
    for (const [id, act] of Object.entries(clicks)) element(id).addEventListener("click", act);
    element("level").addEventListener("change", () => this.restart());
    element("method").addEventListener("change", () => void this.choose());
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
      if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) this.restart();
      if (event.key.toLowerCase() === "p") this.pause();
      if (event.key.toLowerCase() === "l") this.shield();
      if (event.key.toLowerCase() === "e") this.edit();
    });
  }

  private shield(): void {
    this.shielded = !this.shielded;
    element("shield").setAttribute("aria-pressed", String(this.shielded));
    element("shield").textContent = this.shielded ? "Safety layer on" : "Safety layer off";
    this.promise();
    this.count();
  }

  /** What the present pursuer promises. */
  private promise(): void {
    const kept = "Its safety layer keeps it clear of walls and discs.";
    const words = this.data.about.models[this.method]!.promises ? kept : "It promises nothing: it may touch walls and discs.";
    element("promise").textContent = this.shielded ? words : "Its network drives alone: nothing keeps it clear.";
  }

  private edit(): void {
    this.editor.editing = !this.editor.editing;
    element("edit").setAttribute("aria-pressed", String(this.editor.editing));
    if (this.editor.editing) this.say("Tap a free place for a disc, or a disc to remove it. The game waits.");
    else this.invite();
  }

  private pause(): void {
    this.paused = !this.paused;
    element("pause").setAttribute("aria-pressed", String(this.paused));
  }

  private restart(): void {
    this.match = this.fresh();
    this.owed = 0;
    this.count();
    this.promise();
    if (!this.editor.editing) this.invite();
  }

  /** Says what the game waits for. */
  private invite(): void {
    const ready = this.match.phase === "ready";
    this.say(ready ? "Press an arrow key, or hold a finger on the arena, to start." : this.match.over ? "New game?" : "Run!");
  }

  /** Counts a game that is over, and shows the score against this pursuer at this level. */
  private count(escaped: boolean | null = null): void {
    const { name } = this.data.about.models[this.method]!;
    const level = `${this.ratio} ${name}${this.shielded ? "" : " alone"}`;
    if (escaped === null) this.score.show(level);
    else this.score.count(level, escaped, this.match.time);
  }

  begin(): void {
    if (!this.ready || this.editor.editing || this.match.phase !== "ready") return;
    this.match.phase = "running";
    this.say("Run!");
  }

  say(words: string): void {
    element("said").textContent = words;
  }

  /** Loads the chosen policy, each once. */
  async choose(): Promise<void> {
    const which = this.method;
    const { discs, delay } = this.data.about.models[which]!;
    if (!this.policies.has(which)) {
      const model = this.data.arrays.get(`model${which}`);
      if (!(model instanceof Uint8Array)) throw new Unreadable("The data in this page is damaged: a policy is missing.");
      this.policies.set(which, Policy.load(model, discs, delay));
    }
    this.policy = await this.policies.get(which)!;
    this.restart();
  }

  run(): void {
    requestAnimationFrame((now) => this.frame(now));
  }

  private frame(now: number): void {
    const elapsed = Math.min(250, now - this.last);
    this.last = now;
    const { dt } = this.data.about.robot;
    if (this.match.phase === "running" && !this.paused && !this.editor.editing) {
      this.owed = Math.min(this.owed + elapsed / 1000, LATEST * dt);
      if (this.owed >= dt && !this.busy) void this.advance();
    }
    this.draw(this.match.phase === "running" ? Math.min(1, this.owed / dt) : 1);
    requestAnimationFrame((next) => this.frame(next));
  }

  private async advance(): Promise<void> {
    const { match, policy } = this;
    if (!policy) return;
    this.busy = true;
    const start = performance.now();
    await match.step(policy, this.shielded, () => this.wheel.control(match.game.evader, match.state.evader.pose));
    this.thinking = 0.9 * this.thinking + 0.1 * (performance.now() - start);
    this.busy = false;
    this.owed -= match.game.pursuer.dt;
    if (match === this.match && match.over) this.end();
  }

  private end(): void {
    const { phase, time } = this.match;
    this.count(phase === "escaped");
    this.say(phase === "caught" ? `Caught after ${time.toFixed(1)} s. New game?` : `You escaped for ${time.toFixed(0)} s! New game?`);
  }

  private draw(share: number): void {
    const { match, look } = this;
    const canvas = element<HTMLCanvasElement>("arena");
    const [halfX, halfY] = match.game.half;
    const margin = 0.06 * halfX;
    const surface = sheet(canvas, (canvas.clientWidth * (2 * halfY + margin)) / (2 * halfX + margin));
    this.view = new View(surface, [0, 0], 2 * halfX + margin);
    const held = this.shielded && match.command !== null && match.command.active >= 0 ? match.command.active : -1;
    const { discs } = match.state;
    const lit = new Set(held >= 100 && held < 104 ? [discs.length + held - 100] : held >= 0 && held < discs.length ? [held] : []);
    drawGround(this.view, { half: match.game.half, discs, edges: [], movers: [], room: null }, look, lit);
    const pursuer = between(match.before.pursuer.pose, match.state.pursuer.pose, share);
    const evader = between(match.before.evader.pose, match.state.evader.pose, share);
    ring(this.view, [evader[0], evader[1]], match.game.captureRadius, look.capture, 1.5, [4, 4]);
    if (match.command) {
      line(this.view, prediction(pursuer, match.command.nominal, match.game.pursuer.dt), look.ink, 1.4, [4, 3]);
      line(this.view, prediction(pursuer, match.state.pursuer.control, match.game.pursuer.dt), look.pursuer, 2);
    }
    for (const [role, pose] of [["evader", evader], ["pursuer", pursuer]] as const) {
      const { radius } = match.game[role];
      drawRobot(this.view, pose, radius, look[role], look.paper);
      if (match.touching[role]) ring(this.view, [pose[0], pose[1]], Math.max(1.6 * radius, 12 / this.view.scale), look.collision, 3);
      if (this.editor.editing) ring(this.view, [pose[0], pose[1]], radius + AWAY, look.soft, 1, [2, 4]);
    }
    this.numbers();
  }

  private numbers(): void {
    const { match } = this;
    const { command } = match;
    const pair = ([v, w]: Pair): string => `${v.toFixed(2)} m/s, ${w.toFixed(2)} rad/s`.replace(/-/g, "−");
    const told: Record<string, string> = {
      time: `${match.time.toFixed(1)} s`,
      contacts: String(match.contacts.pursuer),
      own: String(match.contacts.evader),
      held: command ? (this.shielded ? holder(command.active) : "nothing: the layer is off") : "–",
      clearance: command ? `${command.clearance.toFixed(3).replace("-", "−")} m` : "–",
      executed: command ? pair(match.state.pursuer.control) : "–",
      nominal: command ? pair(command.nominal) : "–",
      thinking: command ? `${this.thinking.toFixed(0)} ms a step` : "–",
    };
    for (const [id, words] of Object.entries(told)) if (element(id).textContent !== words) element(id).textContent = words;
  }

  /** A new game from this start in place of the present one. */
  place(start: Start): void {
    this.starts[this.startAt % this.starts.length] = start;
    this.discs = null;
    this.restart();
  }

  /** A match by a list of controls, without the clock. */
  async script(start: Start, ratio: number, controls: Pair[], shielded = true): Promise<Played[]> {
    return scripted(this.game(ratio), start, this.policy!, shielded, controls);
  }
}

async function open(): Promise<void> {
  try {
    const data = await unpack<About>(element("data").textContent ?? "", "play");
    element("data").remove();
    const runtime = data.arrays.get("runtime");
    if (!(runtime instanceof Uint8Array)) throw new Unreadable("The data in this page is damaged: the runtime is missing.");
    const play = new Play(data, startsOf(data));
    play.run();
    await prepare(runtime as Uint8Array<ArrayBuffer>);
    await play.choose();
    Object.assign(globalThis, { safepursuit: Object.assign(play, { transition, robot: (limits: Limits) => new Robot(limits) }) });
  } catch (error) {
    trouble(error);
  }
}

void open();
