import { describe, expect, it } from "vitest";
import { parse, unpack, Unreadable } from "../src/unpack";

function container(header: object, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + body.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  bytes.set(body, 4 + text.length);
  return bytes;
}

const HEADER = { version: 1, kind: "replay", about: { title: "x" }, arrays: [{ name: "n", type: "u2", shape: [2], offset: 0 }], size: 4 };

describe("parse", () => {
  it("joins the bytes of each number", () => {
    const data = parse<{ title: string }>(container(HEADER, new Uint8Array([1, 2, 0, 1])), "replay");
    expect([...data.arrays.get("n")!]).toEqual([1, 258]);
  });

  it.each([
    ["nothing", new Uint8Array(0)],
    ["a short body", container(HEADER, new Uint8Array(3))],
    ["no JSON", new Uint8Array([2, 0, 0, 0, 123, 123])],
    ["an array beyond the end", container({ ...HEADER, arrays: [{ name: "n", type: "u4", shape: [2], offset: 0 }] }, new Uint8Array(4))],
    ["another version", container({ ...HEADER, version: 2 }, new Uint8Array(4))],
    ["another kind", container({ ...HEADER, kind: "play" }, new Uint8Array(4))],
  ])("refuses %s", (_, bytes) => expect(() => parse(bytes as Uint8Array<ArrayBuffer>, "replay")).toThrow(Unreadable));

  it.each(["", "!!!", "AAAA"])("refuses text that is no data: %s", async (text) => await expect(unpack(text, "replay")).rejects.toThrow(Unreadable));
});
