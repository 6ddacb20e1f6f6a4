/** Episodes of each run's newest checkpoint, side by side: replays in frames, loaded anew when there is a newer one. */
import { named } from "./canvas";
import { short } from "./curve";

export interface Newest {
  /** Of the checkpoint whose episodes are there. */
  steps: number | null;
  playing: boolean;
  trouble: string;
}

/** What to tell of them. */
export function told({ steps, playing, trouble }: Newest): string {
  if (steps === null && !trouble) return playing ? "being played …" : "no checkpoint yet";
  const what = steps === null ? "none" : `after ${short(steps)} steps`;
  return what + (playing ? ", newer ones being played …" : trouble ? ` (${trouble})` : "");
}

class Figure {
  readonly box = document.createElement("figure");
  private readonly words = document.createElement("span");
  private readonly link = document.createElement("a");
  private frame: HTMLIFrameElement | null = null;
  private steps: number | null = null;

  constructor(private readonly number: number, private readonly name: string) {
    const [caption, mark] = [document.createElement("figcaption"), document.createElement("i")];
    mark.style.borderColor = `var(--run${number % 6})`;
    this.words.className = "quiet";
    this.link.textContent = "whole replay";
    this.link.target = "_blank";
    this.link.hidden = true;
    caption.append(mark, named(name), this.words, this.link);
    this.box.append(caption);
  }

  show(newest: Newest): void {
    this.words.textContent = told(newest);
    if (newest.steps === null || newest.steps === this.steps) return;
    this.steps = newest.steps;
    const address = `episodes/${this.number}?steps=${this.steps}`;
    this.link.href = address;
    this.link.hidden = false;
    const frame = document.createElement("iframe");
    frame.title = `Episodes of ${this.name} ${told(newest)}`;
    frame.src = `${address}#loop`;
    frame.addEventListener("load", () => {
      const body = frame.contentDocument?.body;
      if (body) new ResizeObserver(() => (frame.style.height = `${body.offsetHeight}px`)).observe(body);
    });
    if (this.frame) this.frame.replaceWith(frame);
    else this.box.append(frame);
    this.frame = frame;
  }
}

export class Gallery {
  private readonly figures: Figure[] = [];

  constructor(private readonly home: HTMLElement) {}

  show(runs: { name: string; newest: Newest | null }[]): void {
    runs.forEach(({ name, newest }, i) => {
      if (!newest) return;
      if (!this.figures[i]) {
        this.figures[i] = new Figure(i, name);
        this.home.append(this.figures[i].box);
        this.home.hidden = false;
      }
      this.figures[i].show(newest);
    });
  }
}
