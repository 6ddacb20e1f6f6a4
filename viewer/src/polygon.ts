/** Half-planes and the polygon that they cut out of a box. */

export type Point = [number, number];

/** a · u ≤ b */
export interface Row {
  a: Point;
  b: number;
  boundary: number;
}

/** The corners of {u in the box, all rows met}, counter-clockwise; none if it is empty. `box` is low x, high x, low y, high y. */
export function safePolygon(rows: Row[], box: [number, number, number, number]): Point[] {
  const [x0, x1, y0, y1] = box;
  let corners: Point[] = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  for (const row of rows) corners = clipped(corners, row);
  return corners;
}

/** The part of a convex polygon that meets a row. */
export function clipped(corners: Point[], { a, b }: Row): Point[] {
  const result: Point[] = [];
  corners.forEach((here, i) => {
    const next = corners[(i + 1) % corners.length]!;
    const [excess, after] = [a[0] * here[0] + a[1] * here[1] - b, a[0] * next[0] + a[1] * next[1] - b];
    if (excess <= 0) result.push(here);
    if (excess < 0 !== after < 0 && excess !== 0 && after !== 0) {
      const share = excess / (excess - after);
      result.push([here[0] + share * (next[0] - here[0]), here[1] + share * (next[1] - here[1])]);
    }
  });
  return result;
}

/** The ends of a row's line within a box; null where it does not cross it. */
export function chord({ a, b }: Row, [x0, x1, y0, y1]: [number, number, number, number]): [Point, Point] | null {
  const found: Point[] = [];
  for (const x of [x0, x1]) {
    const y = (b - a[0] * x) / a[1];
    if (y >= y0 && y <= y1) found.push([x, y]);
  }
  for (const y of [y0, y1]) {
    const x = (b - a[1] * y) / a[0];
    if (x > x0 && x < x1) found.push([x, y]);
  }
  return found.length >= 2 ? [found[0]!, found[found.length - 1]!] : null;
}
