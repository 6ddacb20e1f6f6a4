/** What the visitor wants: keys, pointer, and the buttons of a telephone. */
import type { Robot } from "./robot";
import type { Pair, Pose } from "./recording";

const KEYS: Record<string, "ahead" | "left" | "right" | "still"> = {
  ArrowUp: "ahead", ArrowLeft: "left", ArrowRight: "right", ArrowDown: "still", w: "ahead", a: "left", d: "right", s: "still",
};

export class Wheel {
  private readonly held = new Set<string>();
  /** Where the pointer is held down, in the world. */
  target: Pair | null = null;

  constructor(buttons: Record<"ahead" | "left" | "right", HTMLElement>, private readonly begin: () => void) {
    addEventListener("keydown", (event) => {
      const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!name || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
      event.preventDefault();
      this.held.add(name);
      this.begin();
    });
    addEventListener("keyup", (event) => {
      const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (name) this.held.delete(name);
    });
    addEventListener("blur", () => {
      this.held.clear();
      this.target = null;
    });
    for (const [name, button] of Object.entries(buttons)) {
      button.addEventListener("pointerdown", (event) => {
        button.setPointerCapture(event.pointerId);
        this.held.add(name);
        this.begin();
      });
      for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => this.held.delete(name));
    }
  }

  /** The evader's control now. */
  control(robot: Robot, pose: Pose): Pair {
    if (this.target) {
      const course: Pair = [this.target[0] - pose[0], this.target[1] - pose[1]];
      return Math.hypot(...course) < robot.radius ? [0, 0] : robot.steer(pose[2], course);
    }
    const { max_speed, max_turn_rate } = robot.limits;
    const turn = (this.held.has("left") ? 1 : 0) - (this.held.has("right") ? 1 : 0);
    return [this.held.has("ahead") ? max_speed : 0, turn * max_turn_rate];
  }
}
