/**
 * What the timeline lists: one entry for each crossing, for each object that
 * crossed nothing, for each group, and for each event of the other kinds. The
 * start and the end of one object or group are one entry; an object that
 * crossed a line is told by its crossings. So the entries of the crossings are
 * exactly the crossings that the pattern counts.
 */
import type { Kept } from './kept.ts'
import { groupOf, text } from '../wire/event.ts'
import { classOf, listedClass, type Book } from './book.ts'

/** What the timeline's switches choose between. */
export const SORTS = ['crossing', 'sighting', 'group', 'trouble', 'housekeeping'] as const
export type Sort = (typeof SORTS)[number]

export interface Entry {
  sort: Sort
  /** The event that names and dates the entry. */
  kept: Kept
  /** All events it tells of, `kept` among them. */
  of: Kept[]
}

export interface Filter {
  sorts: ReadonlySet<Sort>
  unit?: string
  /** A group ("vehicle"), a fine class ("truck"), or one in the end ("end:truck"). */
  cls?: string
  dir?: string
  /** From this time on, ms since 1970. */
  from?: number
  /** Before this time. */
  to?: number
}

const TROUBLE = new Set(['camera', 'tamper', 'storage', 'power', 'lost', 'pause'])

export function sortOf(kind: string): Sort {
  if (kind === 'crossing' || kind === 'zone') return 'crossing'
  if (kind === 'sighting') return 'sighting'
  if (kind === 'group') return 'group'
  return TROUBLE.has(kind) ? 'trouble' : 'housekeeping'
}

/** The entries that a filter lets through, the latest first. */
export function entries(book: Book, filter: Filter): Entry[] {
  const list: Entry[] = []
  const begin = filter.from === undefined ? 0 : book.placeOf(filter.from - 1)
  const end = filter.to === undefined ? book.events.length : book.placeOf(filter.to - 1)
  for (let i = end - 1; i >= begin; i--) {
    const kept = book.events[i] as Kept
    const sort = sortOf(kept.e.kind)
    if (!filter.sorts.has(sort)) continue
    if (filter.unit !== undefined && kept.e.unit !== filter.unit) continue
    if (filter.cls !== undefined && !isOfClass(kept, filter.cls)) continue
    if (filter.dir !== undefined && text(kept.e, 'dir') !== filter.dir) continue
    if (tellsForItself(kept)) list.push(entryOf(kept))
  }
  return list
}

/** The latest `most` entries: only as many events are looked at as it takes. */
export function latest(book: Book, filter: Filter, most: number): Entry[] {
  for (let far = 40 * most; ; far *= 8) {
    const from = book.events[book.events.length - far]?.at
    const list = entries(book, { ...filter, from })
    if (list.length >= most || from === undefined) return list.slice(0, most)
  }
}

/** The entry that an event of the timeline stands for. */
export function entryOf(kept: Kept): Entry {
  const sort = sortOf(kept.e.kind)
  const thing = kept.thing
  const others = thing ? [thing.start, ...(sort === 'sighting' ? thing.crossings : []), thing.end] : convoyParts(kept)
  const of = others.filter((other): other is Kept => other !== undefined && other !== kept)
  return { sort, kept, of: [kept, ...of] }
}

/** Whether an event has an entry of its own. */
function tellsForItself(kept: Kept): boolean {
  const { e } = kept
  if (e.kind === 'sighting') {
    const thing = kept.thing
    if (!thing) return true
    return thing.crossings.length === 0 && kept === (thing.start ?? thing.end)
  }
  if (e.kind === 'group') {
    const [start, end] = convoyParts(kept)
    return kept === (end ?? start)
  }
  return true
}

function convoyParts({ convoy }: Kept): (Kept | undefined)[] {
  return convoy ? [convoy.start, convoy.end] : []
}

/** Before a class: what something was found to be in the end, whatever it was counted as. */
export const IN_THE_END = 'end:'

function isOfClass(kept: Kept, cls: string): boolean {
  if (cls.startsWith(IN_THE_END)) return classOf(kept) === cls.slice(IN_THE_END.length)
  return groupOf(kept.e) === cls || listedClass(kept) === cls
}
