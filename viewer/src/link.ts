/** Links to an instant: #episode=3&t=8.45 */

export function linkTo(number: number, time: number): string {
  return `#episode=${number}&t=${time.toFixed(2)}`;
}

/** Number of the episode and time [s] that a link names; null for what it does not. */
export function parseLink(hash: string): { number: number | null; time: number | null } {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const read = (name: string): number | null => {
    const text = words.get(name);
    return text !== null && text.trim() !== "" && Number.isFinite(Number(text)) && Number(text) >= 0 ? Number(text) : null;
  };
  return { number: read("episode"), time: read("t") };
}
