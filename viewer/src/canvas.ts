/** Canvases at the screen's own resolution, and the page's colours. */
import { Unreadable } from "./unpack";

export interface Colours {
  ink: string; soft: string; line: string; paper: string; tint: string; accent: string; pursuer: string; evader: string;
  barrier: string; disc: string; capture: string; collision: string; safe: string; cut: string;
}

const NAMES = ["ink", "soft", "line", "paper", "tint", "accent", "pursuer", "evader", "barrier", "disc", "capture", "collision", "safe", "cut"];

/** The colours of the present scheme. */
export function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as unknown as Colours;
}

/** Calls `change` when the scheme or the size of the window is another. */
export function onLook(change: () => void): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", change);
  addEventListener("resize", change);
}

export interface Sheet {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
}

/** A canvas as wide as its place in the page and `height` CSS pixels high, cleared; lengths are CSS pixels. */
export function sheet(canvas: HTMLCanvasElement, height: number): Sheet {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))] as const;
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    [canvas.width, canvas.height] = size;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

export function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A name from outside: as text, and isolated from the direction of what surrounds it. */
export function named(text: string): HTMLElement {
  const isolated = document.createElement("bdi");
  isolated.textContent = text;
  return isolated;
}

/** Shows a message in place of the page. */
export function trouble(error: unknown): void {
  const message = error instanceof Unreadable ? error.message : `The data in this page is damaged: ${String(error)}`;
  const box = document.createElement("section");
  box.className = "trouble";
  box.setAttribute("role", "alert");
  const title = document.createElement("h1");
  title.textContent = "This page cannot be shown";
  const words = document.createElement("p");
  words.append(named(message));
  box.append(title, words);
  document.body.replaceChildren(box);
}
