/** What the page of the game holds: the rules, the policies, and starts. */
import type { Start } from "./match";
import type { Disc, Pair, Pose } from "./recording";
import type { Limits } from "./robot";
import { Unreadable, type Data } from "./unpack";

export interface About {
  models: { name: string; discs: number; delay: number; promises: boolean }[];
  robot: Limits;
  half_extents: Pair;
  capture_radius: number;
  horizon: number;
  radius_range: Pair;
}

export function startsOf(data: Data<About>): Start[] {
  const [poses, discs] = [data.arrays.get("poses"), data.arrays.get("discs")];
  const each = data.shapes.get("discs")?.[1];
  if (!poses || !discs || !each) throw new Unreadable("The data in this page is damaged: it has no starts.");
  return Array.from({ length: poses.length / 6 }, (_, i) => ({
    pursuer: [...poses.slice(6 * i, 6 * i + 3)] as Pose,
    evader: [...poses.slice(6 * i + 3, 6 * i + 6)] as Pose,
    discs: Array.from({ length: each }, (_, k) => [...discs.slice(3 * (i * each + k), 3 * (i * each + k) + 3)] as Disc).filter((disc) => disc.every(Number.isFinite)),
  }));
}
