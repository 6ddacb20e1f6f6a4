import { describe, expect, it } from "vitest";
import { pathOf, rangeOf, short } from "../src/curve";

describe("curves", () => {
  it("leave out what is missing", () => {
    const path = pathOf({ steps: [0, 50, 100], values: [0, null, 1] }, 100, [0, 1]);
    expect(path).toBe("M52.0 130.0L312.0 8.0");
  });
  it("have a range of some height", () => expect(rangeOf([{ steps: [1, 2], values: [4, 4] }])).toEqual([2, 6]));
  it("have no range without values", () => expect(rangeOf([{ steps: [1], values: [null] }])).toBeNull());
});

describe("numbers", () => {
  it.each([[2_500_000, "2.5 M"], [16384, "16.4 k"], [0.25, "0.25"], [-3, "−3"], [0.00002, "2e−5"], [0, "0"]])("%s is %s", (value, words) =>
    expect(short(value)).toBe(words),
  );
});
