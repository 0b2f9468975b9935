/**
 * When a camera really watched. `watch` events tell it, hourly and at a stop:
 * outside of them silence says nothing, and the page shows it as unknown, never
 * as quiet.
 */
import { number, text, time } from '../wire/event.ts'
import { moved, type Book } from './book.ts'

/** A stretch of time that a `watch` event spoke of, ms since 1970. */
export interface Watch {
  unit: string
  cam: string
  from: number
  to: number
  /** The share of it with pictures, 0 to 1. */
  seen: number
}

/** All stretches, by their begin. */
export function watches(book: Book, unit?: string): Watch[] {
  const list: Watch[] = []
  for (const kept of book.events) {
    const { e } = kept
    if (e.kind !== 'watch' || (unit !== undefined && e.unit !== unit)) continue
    const from = moved(kept, time(e, 'from'))
    const to = moved(kept, time(e, 'to'))
    if (from === undefined || to === undefined || to <= from) continue
    // Nothing is seen during a pause, either.
    const blindMs = Math.max(0, (number(e, 'blind_s') ?? 0) + (number(e, 'paused_s') ?? 0)) * 1000
    list.push({ unit: e.unit, cam: text(e, 'cam') ?? '', from, to, seen: Math.max(0, 1 - blindMs / (to - from)) })
  }
  return list.sort((a, b) => a.from - b.from)
}

/** How much of [from, to) was told of and how much seen, 0 to 1, over `cameras` cameras. */
export interface Share {
  told: number
  seen: number
}

/**
 * The shares for `cells` equal cells of `cellMs` from `from` on. A camera
 * counts once for any moment, also where stretches overlap.
 */
export function shares(list: readonly Watch[], from: number, cellMs: number, cells: number): Share[] {
  const cameras = new Map<string, Watch[]>()
  for (const watch of list) {
    const key = `${watch.unit} ${watch.cam}`
    const of = cameras.get(key)
    if (of) of.push(watch)
    else cameras.set(key, [watch])
  }
  const result = Array.from({ length: cells }, (): Share => ({ told: 0, seen: 0 }))
  for (const of of cameras.values()) {
    let done = -Infinity
    for (const watch of of) {
      const begin = Math.max(watch.from, done, from)
      const end = Math.min(watch.to, from + cells * cellMs)
      done = Math.max(done, watch.to)
      for (let i = Math.floor((begin - from) / cellMs); i < cells && from + i * cellMs < end; i++) {
        const cell = result[i]
        if (!cell) continue
        const part = Math.min(end, from + (i + 1) * cellMs) - Math.max(begin, from + i * cellMs)
        if (part <= 0) continue
        cell.told += part / cellMs
        cell.seen += (part / cellMs) * watch.seen
      }
    }
  }
  const n = Math.max(1, cameras.size)
  return result.map(({ told, seen }) => ({ told: told / n, seen: seen / n }))
}
