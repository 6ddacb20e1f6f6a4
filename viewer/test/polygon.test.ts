import { describe, expect, it } from "vitest";
import { chord, clipped, safePolygon, type Point, type Row } from "../src/polygon";

const BOX: [number, number, number, number] = [0, 1, -1, 1];

function area(corners: Point[]): number {
  return corners.reduce((sum, [x, y], i) => {
    const [u, v] = corners[(i + 1) % corners.length]!;
    return sum + (x * v - u * y) / 2;
  }, 0);
}

describe("safePolygon", () => {
  it("is the box without rows", () => expect(area(safePolygon([], BOX))).toBe(2));

  it("is empty where rows contradict each other", () => {
    const rows: Row[] = [{ a: [1, 0], b: 0.2, boundary: 0 }, { a: [-1, 0], b: -0.4, boundary: 1 }];
    expect(safePolygon(rows, BOX)).toEqual([]);
  });

  it("has the share of the box that random points find", () => {
    let seed = 1;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let trial = 0; trial < 20; trial++) {
      const rows: Row[] = Array.from({ length: 4 }, (_, boundary) => ({ a: [random() - 0.5, random() - 0.5], b: 0.3 * random(), boundary }));
      let inside = 0;
      for (let i = 0; i < 4000; i++) {
        const [x, y] = [random(), 2 * random() - 1];
        if (rows.every(({ a, b }) => a[0] * x + a[1] * y <= b)) inside++;
      }
      expect(area(safePolygon(rows, BOX))).toBeCloseTo((2 * inside) / 4000, 0.9);
    }
  });
});

describe("clipped", () => {
  it("keeps a polygon that a row only touches", () => {
    const square: Point[] = [[0, 0], [1, 0], [1, 1], [0, 1]];
    expect(clipped(square, { a: [1, 0], b: 1, boundary: 0 })).toEqual(square);
  });
});

describe("chord", () => {
  it("ends where the line leaves the box", () => expect(chord({ a: [1, 0], b: 0.25, boundary: 0 }, BOX)).toEqual([[0.25, -1], [0.25, 1]]));
  it("is null outside", () => expect(chord({ a: [1, 0], b: 7, boundary: 0 }, BOX)).toBeNull());
});
