/**
 * Asking a unit again for what is missing. A unit answers one `resend` at a
 * time, of at most 10,000 numbers: ranges are asked for one after the other,
 * each when the one before has come or its time is up. Parts are cut off when
 * their turn comes: a unit may claim any number of events.
 */
import { count, type Range } from './numbers.ts'

export const MOST_NUMBERS = 10_000
/** After this long without news the next request goes out. */
export const PATIENCE_MS = 20_000
/** How long a unit that is busy is left alone. */
export const BUSY_MS = 5_000
/** After so many requests in a row that brought nothing no more are sent. */
export const MOST_IN_VAIN = 20

/** What of a range is missing. */
export type Missing = (range: Range) => readonly Range[]

export interface Asking {
  readonly log: string
  left: Range[]
  /** What was asked for last, and how much of it was missing then. */
  current?: Range & { missing: number }
  /** Unless `current` has come by then, the next request goes out at this time. */
  until: number
  /** Requests since the last one that brought anything. */
  inVain: number
}

export function begin(log: string, ranges: readonly Range[]): Asking {
  return { log, left: [...ranges], until: 0, inVain: 0 }
}

/** What to ask for at `now`, if anything. */
export function next(asking: Asking, now: number, missing: Missing): Range | undefined {
  const { current } = asking
  const still = current ? count(missing(current)) : 0
  if (current && still < current.missing) asking.inVain = 0
  if (now < asking.until && (!current || still > 0)) return undefined
  const range = asking.inVain < MOST_IN_VAIN ? take(asking, missing) : undefined
  if (!range) {
    forget(asking)
    return undefined
  }
  asking.current = { ...range, missing: count(missing(range)) }
  asking.inVain += 1
  asking.until = now + PATIENCE_MS
  return range
}

/** Cuts off what one command may ask for, from the first number on that is still missing. */
function take(asking: Asking, missing: Missing): Range | undefined {
  for (let first = asking.left.shift(); first; first = asking.left.shift()) {
    const from = missing(first)[0]?.from
    if (from === undefined) continue
    const to = Math.min(first.to, from + MOST_NUMBERS - 1)
    if (to < first.to) asking.left.unshift({ from: to + 1, to: first.to })
    return { from, to }
  }
  return undefined
}

/** Ranges of a reply that are read; a unit sends no more. */
const MOST_RANGES = 64

/** What the reply to a request of `range` says that the unit does not hold. */
export function without(reply: unknown, range: Range): Range[] {
  if (!Array.isArray(reply)) return []
  return reply.slice(0, MOST_RANGES).flatMap((pair: unknown): Range[] => {
    if (!Array.isArray(pair)) return []
    const [first, last] = pair as unknown[]
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) return []
    const [from, to] = [Math.max(first as number, range.from), Math.min(last as number, range.to)]
    return from <= to ? [{ from, to }] : []
  })
}

/** The unit refused, in a word: if it is busy with another request, the same again after a pause; else it would refuse again. */
export function refused(asking: Asking, word: unknown, now: number): void {
  if (word !== 'busy') return forget(asking)
  if (!asking.current) return
  const { from, to } = asking.current
  asking.left.unshift({ from, to })
  asking.current = undefined
  asking.until = now + BUSY_MS
}

function forget(asking: Asking): void {
  asking.left = []
  asking.current = undefined
}

/** Whether anything is still to come. */
export function isDone(asking: Asking): boolean {
  return asking.current === undefined && asking.left.length === 0
}
