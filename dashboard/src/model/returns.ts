/**
 * Out-and-back pairs: something of a class passes a line, and hours later
 * something of the same class passes it the other way. Nothing here tells that
 * it was the same one, and the page never says so: `among` is how many others
 * could as well have been it.
 *
 * `tawny report` pairs by the same rule (src/report/pairs.rs), so that a page
 * and a report about the same time list the same pairs. The class is the one
 * at the crossing.
 */
import type { Kept } from './kept.ts'
import { groupOf, text } from '../wire/event.ts'
import { classThen } from './book.ts'
import { HOUR_MS } from './calendar.ts'

export interface Return {
  out: Kept
  back: Kept
  cls: string
  /** Other crossings of this class at this line between the two. */
  among: number
}

export const SHORTEST_MS = 10 * 60_000
export const LONGEST_MS = 36 * HOUR_MS
/** With more of the same class in between, a pair says nothing. */
export const MOST_AMONG = 4

/** No pair is looked for further than this many crossings ahead: it would be too crowded by far. */
export const FURTHEST = 200

/**
 * The pairs in a list of crossings (in the order of time), and how many were too
 * crowded to tell; of one class or group, if one is wanted.
 */
export function returns(list: readonly Kept[], wanted?: string): { pairs: Return[]; crowded: number } {
  const places = new Map<string, Kept[]>()
  for (const kept of list) {
    const cls = classThen(kept)
    if (wanted !== undefined && cls !== wanted && groupOf(kept.e) !== wanted) continue
    const key = JSON.stringify([kept.e.unit, text(kept.e, 'cam'), text(kept.e, 'wire'), cls])
    const of = places.get(key)
    if (of) of.push(kept)
    else places.set(key, [kept])
  }
  const pairs: Return[] = []
  let crowded = 0
  for (const of of places.values()) {
    const taken = new Set<Kept>()
    for (let i = 0; i < of.length; i++) {
      const out = of[i] as Kept
      if (taken.has(out)) continue
      const dir = text(out.e, 'dir')
      for (let j = i + 1; j < of.length && j <= i + FURTHEST; j++) {
        const back = of[j] as Kept
        const between = back.at - out.at
        if (between > LONGEST_MS) break
        if (between < SHORTEST_MS || taken.has(back) || text(back.e, 'dir') === dir) continue
        taken.add(out)
        taken.add(back)
        const among = j - i - 1
        if (among > MOST_AMONG) crowded += 1
        else pairs.push({ out, back, cls: classThen(out), among })
        break
      }
    }
  }
  pairs.sort((a, b) => b.back.at - a.back.at)
  return { pairs, crowded }
}
