import { describe, expect, it } from "vitest";
import { told } from "../src/newest";

describe("newest episodes", () => {
  it.each([
    [{ steps: null, playing: false, trouble: "" }, "no checkpoint yet"],
    [{ steps: null, playing: true, trouble: "" }, "being played …"],
    [{ steps: null, playing: false, trouble: "no." }, "none (no.)"],
    [{ steps: 20000, playing: true, trouble: "" }, "after 20 k steps, newer ones being played …"],
    [{ steps: 20000, playing: false, trouble: "no." }, "after 20 k steps (no.)"],
  ])("are told: %j", (newest, words) => expect(told(newest)).toBe(words));
});
