/** The visitor's score: escapes, captures, and the best time at each level: a speed, a pursuer, with or without its layer. */
import { element } from "./canvas";

export class Score {
  private escapes = 0;
  private caught = 0;
  private readonly best = new Map<string, number>();

  count(level: string, escaped: boolean, time: number): void {
    if (escaped) this.escapes++;
    else this.caught++;
    this.best.set(level, Math.max(time, this.bestAt(level)));
    try {
      localStorage.setItem(`safepursuit-best-${level}`, String(this.bestAt(level)));
    } catch {
      // Without storage, as in private windows, the best time lasts as long as the page.
    }
    this.show(level);
  }

  private bestAt(level: string): number {
    let kept = 0;
    try {
      kept = Number(localStorage.getItem(`safepursuit-best-${level}`)) || 0;
    } catch {
      // As above.
    }
    return Math.max(kept, this.best.get(level) ?? 0);
  }

  show(level: string): void {
    const best = this.bestAt(level);
    element("best").textContent = best ? `${best.toFixed(1)} s` : "–";
    element("escapes").textContent = String(this.escapes);
    element("caught").textContent = String(this.caught);
  }
}
