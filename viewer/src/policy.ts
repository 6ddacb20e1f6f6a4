/** The exported pursuer, network and safety layer, run by ONNX Runtime. */
import * as ort from "onnxruntime-web/wasm";
import type { Game, GameState } from "./game";
import type { Pair } from "./recording";
import { inflate, Unreadable } from "./unpack";

export interface Command {
  safe: Pair;
  nominal: Pair;
  /** Which constraint holds the control: adapters/onnx/controller.py, CONSTRAINTS. */
  active: number;
  feasible: boolean;
  clearance: number;
}

/** Hands the runtime its WebAssembly, which is in the page. */
export async function prepare(runtime: Uint8Array<ArrayBuffer>): Promise<void> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await inflate(runtime, "gzip")).buffer;
}

export class Policy {
  private constructor(private readonly session: ort.InferenceSession, readonly discs: number, readonly delay: number) {}

  static async load(model: Uint8Array, discs: number, delay: number): Promise<Policy> {
    try {
      return new Policy(await ort.InferenceSession.create(model), discs, delay);
    } catch (error) {
      throw new Unreadable(`The policy in this page cannot be run: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** The command for a state; `pending` are those on their way, the oldest first. */
  async act(state: GameState, game: Game, pending: Pair[]): Promise<Command> {
    const tensor = (values: number[], ...shape: number[]): ort.Tensor => new ort.Tensor("float64", Float64Array.from(values), [1, ...shape]);
    const rows = Array.from({ length: this.discs }, (_, i) => state.discs[i] ?? [NaN, NaN, NaN]);
    const feeds: Record<string, ort.Tensor> = {
      pose: tensor(state.pursuer.pose, 3),
      control: tensor(state.pursuer.control, 2),
      opponent_pose: tensor(state.evader.pose, 3),
      opponent_control: tensor(state.evader.control, 2),
      discs: tensor(rows.flat(), this.discs, 3),
      half_extents: tensor(game.half, 2),
    };
    if (this.delay) feeds.pending = tensor(pending.flat(), this.delay, 2);
    const found = await this.session.run(feeds);
    const numbers = (name: string): number[] => Array.from(found[name]!.data as ArrayLike<number | bigint>, Number);
    return {
      safe: numbers("safe_control") as Pair,
      nominal: numbers("nominal_control") as Pair,
      active: numbers("active")[0]!,
      feasible: numbers("feasible")[0]! > 0,
      clearance: numbers("clearance")[0]!,
    };
  }
}

/** What holds the control, in words. */
export function holder(active: number): string {
  if (active < 0) return "nothing";
  if (active < 100) return `disc ${active + 1}`;
  if (active < 110) return ["wall +x", "wall −x", "wall +y", "wall −y"][active - 100] ?? "a wall";
  if (active < 120) return "the other robot";
  if (active < 130) return "its own limits";
  return active < 140 ? "the governor" : "the watchdog";
}
