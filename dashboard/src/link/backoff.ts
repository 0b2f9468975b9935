/** How long to wait before the next try: doubling from 1 s to 30 s, with jitter. */

/** `failures` in a row so far; `random` in 0..1. */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(30_000, 1000 * 2 ** Math.min(failures, 10))
  return full * (0.5 + random / 2)
}
