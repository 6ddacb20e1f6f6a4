/** The list of episodes, sorted. */
import type { Recording } from "./recording";

export type Order = "number" | "outcome" | "clearance" | "intervention" | "length";

interface Facts {
  episode: number;
  /** The worst ones first: a contact, invalid, a time-out, a capture. */
  rank: number;
  clearance: number;
  intervention: number;
  length: number;
  contact: boolean;
}

const WORDS = { capture: "captured after", timeout: "not captured in", collision: "collided after", invalid: "invalid after" };
const RANKS = { collision: 0, invalid: 1, timeout: 2, capture: 3 };

export class EpisodeList {
  private readonly facts: Facts[];
  private order: number[];
  private buttons: HTMLButtonElement[] = [];

  constructor(private readonly list: HTMLElement, private readonly recording: Recording, private readonly choose: (episode: number) => void) {
    this.facts = Array.from({ length: recording.count }, (_, episode) => {
      const contact = recording.share(episode, 4) > 0;
      return {
        episode,
        contact,
        rank: contact ? 0 : RANKS[recording.outcome(episode)],
        clearance: recording.leastClearance(episode),
        intervention: recording.share(episode, 1),
        length: recording.length(episode),
      };
    });
    this.order = this.facts.map((one) => one.episode);
    this.sort("number");
  }

  sort(order: Order): void {
    const keys: Record<Order, (one: Facts) => number> = {
      number: (one) => this.recording.number(one.episode),
      outcome: (one) => one.rank * 1e6 - one.length,
      clearance: (one) => one.clearance,
      intervention: (one) => -one.intervention,
      length: (one) => -one.length,
    };
    const key = keys[order];
    this.order = [...this.facts].sort((a, b) => key(a) - key(b) || a.episode - b.episode).map((one) => one.episode);
    const current = this.buttons.findIndex((one) => one.getAttribute("aria-current") === "true");
    this.buttons = [];
    const items = this.order.map((episode) => this.item(episode));
    this.list.replaceChildren(...items.map(([item]) => item));
    for (const [, button, episode] of items) this.buttons[episode] = button;
    if (current >= 0) this.mark(current);
  }

  private item(episode: number): [HTMLElement, HTMLButtonElement, number] {
    const { recording } = this;
    const facts = this.facts[episode]!;
    const time = (facts.length * recording.about.dt).toFixed(1);
    const button = document.createElement("button");
    button.tabIndex = -1;
    button.append(`${recording.number(episode)} · ${WORDS[recording.outcome(episode)]} ${time} s`);
    const small = document.createElement("small");
    const clearance = Number.isFinite(facts.clearance) ? `clearance ${facts.clearance.toFixed(3).replace("-", "−")} m` : "no clearance";
    small.textContent = `${facts.contact ? "contact · " : ""}${clearance} · held ${(100 * facts.intervention).toFixed(1)} %`;
    button.append(small);
    button.addEventListener("click", () => this.choose(episode));
    const item = document.createElement("li");
    item.append(button);
    return [item, button, episode];
  }

  /** Marks the current episode, which alone is in the order of the Tab key. */
  mark(episode: number): void {
    for (const button of this.buttons) {
      if (button.tabIndex === 0) {
        button.tabIndex = -1;
        button.removeAttribute("aria-current");
      }
    }
    const button = this.buttons[episode]!;
    button.tabIndex = 0;
    button.setAttribute("aria-current", "true");
    const [top, bottom] = [button.offsetTop - this.list.offsetTop, button.offsetTop - this.list.offsetTop + button.offsetHeight];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (bottom > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = bottom - this.list.clientHeight;
  }

  focus(episode: number): void {
    if (this.list.contains(document.activeElement)) this.buttons[episode]!.focus();
  }

  /** The episode this many places further down the list, or the last one there. */
  beside(episode: number, places: number): number {
    const at = this.order.indexOf(episode) + places;
    return this.order[Math.min(this.order.length - 1, Math.max(0, at))]!;
  }
}
