/**
 * Asking a unit again for what is missing. A unit answers one `resend` at a
 * time, of at most 10,000 numbers: ranges are asked for one after the other,
 * each when the one before has come or its time is up.
 */
import type { Range } from './numbers.ts'

export const MOST_NUMBERS = 10_000
/** After this long without news the next request goes out. */
export const PATIENCE_MS = 20_000
/** How long a unit that is busy is left alone. */
export const BUSY_MS = 5_000

/** Ranges cut to what one command may ask for. */
export function requests(ranges: readonly Range[]): Range[] {
  return ranges.flatMap(({ from, to }) => {
    const parts: Range[] = []
    for (let at = from; at <= to; at += MOST_NUMBERS) parts.push({ from: at, to: Math.min(to, at + MOST_NUMBERS - 1) })
    return parts
  })
}

export interface Asking {
  readonly log: string
  left: Range[]
  /** What was asked for last. */
  current?: Range
  /** Unless `current` has come by then, the next request goes out at this time. */
  until: number
}

export function begin(log: string, ranges: readonly Range[]): Asking {
  return { log, left: requests(ranges), until: 0 }
}

/** What to ask for at `now`, if anything; `missing` counts what of a range is still missing. */
export function next(asking: Asking, now: number, missing: (range: Range) => number): Range | undefined {
  const { current } = asking
  if (now < asking.until && (!current || missing(current) > 0)) return undefined
  do asking.current = asking.left.shift()
  while (asking.current && missing(asking.current) === 0)
  asking.until = now + PATIENCE_MS
  return asking.current
}

/** The unit is busy with another request: the same again, after a pause. */
export function busy(asking: Asking, now: number): void {
  if (!asking.current) return
  asking.left.unshift(asking.current)
  asking.current = undefined
  asking.until = now + BUSY_MS
}

/** Whether anything is still to come. */
export function isDone(asking: Asking): boolean {
  return asking.current === undefined && asking.left.length === 0
}
