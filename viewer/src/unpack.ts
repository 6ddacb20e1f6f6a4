/** The data of a page, as packing.py writes it: base64 of a zlib stream of a header and arrays. */

export type Numbers = Float32Array | Float64Array | Uint8Array | Uint16Array | Uint32Array;

export interface Entry {
  name: string;
  type: "f4" | "f8" | "u1" | "u2" | "u4";
  shape: number[];
  offset: number;
}

export interface Data<About> {
  about: About;
  arrays: Map<string, Numbers>;
  shapes: Map<string, number[]>;
}

/** A failure that a visitor can understand: it is shown in the page. */
export class Unreadable extends Error {}

const VERSION = 1;
const MAKERS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (native) return native(text);
  const words = atob(text);
  const bytes = new Uint8Array(words.length);
  for (let i = 0; i < words.length; i++) bytes[i] = words.charCodeAt(i);
  return bytes;
}

export async function inflate(bytes: Uint8Array<ArrayBuffer>, format: CompressionFormat = "deflate"): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Bytes sorted by significance → numbers. */
function sorted(planes: Uint8Array, count: number, type: Entry["type"]): Numbers {
  const Maker = MAKERS[type];
  const size = Maker.BYTES_PER_ELEMENT;
  const bytes = new Uint8Array(count * size);
  for (let plane = 0; plane < size; plane++) {
    const first = plane * count;
    for (let i = 0, at = plane; i < count; i++, at += size) bytes[at] = planes[first + i]!;
  }
  return new Maker(bytes.buffer);
}

export async function unpack<About>(text: string, kind: string): Promise<Data<About>> {
  if (!text.trim()) throw new Unreadable("This page holds no data: it is the empty template.");
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await inflate(fromBase64(text.trim()));
  } catch {
    throw new Unreadable("The data in this page is cut short or damaged. Write the page anew.");
  }
  return parse<About>(bytes, kind);
}

export function parse<About>(bytes: Uint8Array<ArrayBuffer>, kind: string): Data<About> {
  const damaged = new Unreadable("The data in this page is damaged. Write the page anew.");
  if (bytes.length < 4) throw damaged;
  const length = new DataView(bytes.buffer).getUint32(0, true);
  let header: { version: number; kind: string; about: About; arrays: Entry[]; size: number };
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  } catch {
    throw damaged;
  }
  if (header.version !== VERSION || header.kind !== kind) {
    throw new Unreadable("The data in this page is of another version than the page. Write the page anew.");
  }
  const body = bytes.subarray(4 + length);
  if (body.length !== header.size) throw damaged;
  const arrays = new Map<string, Numbers>();
  const shapes = new Map<string, number[]>();
  for (const { name, type, shape, offset } of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (!(type in MAKERS) || offset + count * MAKERS[type].BYTES_PER_ELEMENT > body.length) throw damaged;
    arrays.set(name, sorted(body.subarray(offset), count, type));
    shapes.set(name, shape);
  }
  return { about: header.about, arrays, shapes };
}
