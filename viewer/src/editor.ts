/** The visitor's hand on the arena: discs are dragged, added and removed; elsewhere a held pointer drives. */
import type { View } from "./arena";
import type { Match } from "./match";
import type { Disc, Pair } from "./recording";
import type { Wheel } from "./wheel";

/** Metres between a disc that is moved or added and either robot. */
export const AWAY = 0.5;

/** Pixels that a finger may shake without dragging. */
const STILL = 5;

/** What the hand works on. */
export interface Table {
  readonly match: Match;
  readonly view: View | null;
  /** Number of discs that every policy takes. */
  readonly most: number;
  readonly radii: Pair;
  begin(): void;
  say(words: string): void;
}

interface Grip {
  disc: number;
  /** From the pointer to the disc's centre [m]. */
  offset: Pair;
  from: Pair;
  moved: boolean;
}

export class Editor {
  editing = false;
  private grip: Grip | null = null;

  constructor(private readonly canvas: HTMLCanvasElement, private readonly table: Table, private readonly wheel: Wheel) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.down(this.at(event), [event.clientX, event.clientY]);
    });
    canvas.addEventListener("pointermove", (event) => this.move(this.at(event), [event.clientX, event.clientY]));
    canvas.addEventListener("pointerup", () => this.up());
    canvas.addEventListener("pointercancel", () => this.drop());
  }

  private at(event: PointerEvent): Pair {
    const box = this.canvas.getBoundingClientRect();
    return this.table.view!.world(event.clientX - box.left, event.clientY - box.top);
  }

  private get discs(): Disc[] {
    return this.table.match.state.discs;
  }

  /** The disc at a place, or −1. */
  private under([x, y]: Pair): number {
    return this.discs.findIndex(([cx, cy, radius]) => Math.hypot(x - cx, y - cy) <= radius);
  }

  private down([x, y]: Pair, from: Pair): void {
    let disc = this.under([x, y]);
    if (disc < 0 && !this.editing) {
      this.wheel.target = [x, y];
      this.table.begin();
      return;
    }
    const moved = disc < 0;
    if (moved) {
      const { radii } = this.table;
      if (!this.add([x, y, (radii[0] + radii[1]) / 2])) return;
      disc = this.discs.length - 1;
    }
    const [cx, cy] = this.discs[disc]!;
    this.grip = { disc, offset: [cx - x, cy - y], from, moved };
  }

  private move([x, y]: Pair, now: Pair): void {
    const { grip } = this;
    if (!grip) {
      if (this.wheel.target) this.wheel.target = [x, y];
      else this.canvas.style.cursor = this.under([x, y]) < 0 ? "" : "grab";
      return;
    }
    grip.moved ||= Math.hypot(now[0] - grip.from[0], now[1] - grip.from[1]) > STILL;
    if (!grip.moved) return;
    const moved: Disc = [x + grip.offset[0], y + grip.offset[1], this.discs[grip.disc]![2]];
    const { match } = this.table;
    const [halfX, halfY] = match.game.half;
    if (Math.abs(moved[0]) > halfX || Math.abs(moved[1]) > halfY) this.remove(grip.disc);
    else if (match.fits(moved, AWAY)) match.arrange(this.discs.map((disc, i) => (i === grip.disc ? moved : disc)));
  }

  private up(): void {
    if (this.grip && this.editing && !this.grip.moved) this.remove(this.grip.disc);
    this.drop();
  }

  private drop(): void {
    this.wheel.target = null;
    this.grip = null;
  }

  /** Takes this disc away, by default the last one. */
  remove(which = this.discs.length - 1): void {
    this.grip = null;
    this.table.match.arrange(this.discs.filter((_, i) => i !== which));
  }

  /** Whether the disc could be added. */
  add(disc: Disc): boolean {
    const { match, most } = this.table;
    if (this.discs.length >= most) this.table.say(`This policy takes no more than ${most} discs.`);
    else if (!match.fits(disc, AWAY)) this.table.say(`A disc keeps ${AWAY} m from both robots.`);
    else {
      match.arrange([...this.discs, disc]);
      return true;
    }
    return false;
  }

  /** Adds a disc somewhere. */
  scatter(): void {
    const { match, radii } = this.table;
    const [halfX, halfY] = match.game.half;
    for (let tries = 0; tries < 200; tries++) {
      const disc: Disc = [halfX * (2 * Math.random() - 1), halfY * (2 * Math.random() - 1), radii[0] + (radii[1] - radii[0]) * Math.random()];
      if (match.fits(disc, AWAY)) return void this.add(disc);
    }
  }
}
