/**
 * Counts of crossings: by hour and day, by direction over time, by class and
 * direction. All three are made from the same list, so they add up. The class is
 * the one at the crossing, as in the report and in `tawny events`.
 */
import type { Kept } from './kept.ts'
import { text } from '../wire/event.ts'
import { classThen, type Book } from './book.ts'
import { addDays, dayOf, hourOf, hourOfDay, HOUR_MS, type Zone } from './calendar.ts'
import { shares, type Share, type Watch } from './coverage.ts'

export interface PatternFilter {
  unit?: string
  /** A group or a fine class. */
  cls?: string
  /** From this day on (its begin) … */
  from: number
  /** … and before this one. */
  to: number
}

/** The crossings of a filter, in the order in which they happened. */
export function crossings(book: Book, filter: PatternFilter): Kept[] {
  const begin = book.placeOf(filter.from - 1)
  const end = book.placeOf(filter.to - 1)
  const list: Kept[] = []
  for (let i = begin; i < end; i++) {
    const kept = book.events[i] as Kept
    if (kept.e.kind !== 'crossing') continue
    if (filter.unit !== undefined && kept.e.unit !== filter.unit) continue
    if (filter.cls !== undefined && kept.e['grp'] !== filter.cls && classThen(kept) !== filter.cls) continue
    list.push(kept)
  }
  return list
}

export interface Cell {
  /** Begin of the hour, ms since 1970. */
  at: number
  n: number
  share: Share
}

export interface Heat {
  /** One row for each day, the latest first; 24 cells each. */
  days: { day: number; total: number; cells: Cell[] }[]
  max: number
}

/** Crossings by hour × day, with what was watched. */
export function heat(list: readonly Kept[], watched: readonly Watch[], filter: PatternFilter, zone: Zone): Heat {
  const rows = new Map<number, number[]>()
  for (const kept of list) {
    const day = dayOf(kept.at, zone)
    let row = rows.get(day)
    if (!row) rows.set(day, (row = new Array<number>(24).fill(0)))
    const hour = hourOf(kept.at, zone)
    row[hour] = (row[hour] ?? 0) + 1
  }
  const days: Heat['days'] = []
  let max = 0
  for (let day = dayOf(filter.from, zone); day < filter.to; day = addDays(day, 1, zone)) {
    const row = rows.get(day)
    const next = addDays(day, 1, zone)
    const ofDay = watched.filter((watch) => watch.to > day && watch.from < next)
    // By hours gone since midnight: a day may have 23 or 25 of them.
    const told = shares(ofDay, day, HOUR_MS, 25)
    const cells = Array.from({ length: 24 }, (_, hour): Cell => {
      const at = hourOfDay(day, hour, zone)
      const n = row?.[hour] ?? 0
      max = Math.max(max, n)
      return { at, n, share: told[Math.round((at - day) / HOUR_MS)] ?? { told: 0, seen: 0 } }
    })
    days.unshift({ day, total: row?.reduce((sum, n) => sum + n, 0) ?? 0, cells })
  }
  return { days, max }
}

/** Directions told apart, the others together among them: those with the most crossings. */
export const MOST_DIRECTIONS = 8
/** Classes told apart, besides the others together. */
export const MOST_CLASSES = 40

export interface Series {
  /** The begin of each bucket, and of the one after the last. */
  edges: number[]
  /** For each direction, the one with the most first: its counts by bucket. */
  directions: { dir: string; counts: number[]; total: number }[]
  /** How many directions the last one stands for, if it is the others together. */
  others: number
}

/** Crossings by direction over time: by hour for up to two days, else by day. */
export function directions(list: readonly Kept[], filter: PatternFilter, zone: Zone): Series {
  const edges: number[] = []
  const days: number[] = []
  for (let day = dayOf(filter.from, zone); day < filter.to; day = addDays(day, 1, zone)) days.push(day)
  if (days.length <= 2) {
    for (const day of days) for (let hour = 0; hour < 24; hour++) edges.push(hourOfDay(day, hour, zone))
  } else {
    edges.push(...days)
  }
  edges.push(filter.to)
  const counts = new Map<string, number[]>()
  let bucket = 0
  for (const kept of list) {
    while (bucket < edges.length - 2 && kept.at >= (edges[bucket + 1] as number)) bucket++
    const dir = text(kept.e, 'dir') ?? ''
    let of = counts.get(dir)
    if (!of) counts.set(dir, (of = new Array<number>(edges.length - 1).fill(0)))
    of[bucket] = (of[bucket] ?? 0) + 1
  }
  const result: Series['directions'] = [...counts].map(([dir, of]) => ({ dir, counts: of, total: of.reduce((sum, n) => sum + n, 0) }))
  result.sort((a, b) => b.total - a.total || a.dir.localeCompare(b.dir))
  if (result.length <= MOST_DIRECTIONS) return { edges, directions: result, others: 0 }
  const rest = result.splice(MOST_DIRECTIONS - 1)
  const sums = edges.slice(1).map((_, i) => rest.reduce((sum, { counts: of }) => sum + (of[i] ?? 0), 0))
  result.push({ dir: othersName(rest.length), counts: sums, total: sums.reduce((sum, n) => sum + n, 0) })
  return { edges, directions: result, others: rest.length }
}

/** What many names together are called, here and in tables that are handed on. */
export function othersName(n: number): string {
  return `${n} others`
}

export interface Totals {
  directions: string[]
  /** The last row stands for so many classes, if it is the others together. */
  others: number
  rows: { cls: string; counts: number[]; total: number }[]
  counts: number[]
  total: number
}

/** Totals by class and direction, in the order of `directions`; what is none of them counts for the last one. */
export function totals(list: readonly Kept[], order: readonly string[]): Totals {
  const rows = new Map<string, number[]>()
  const sums = order.map(() => 0)
  for (const kept of list) {
    const cls = classThen(kept)
    let row = rows.get(cls)
    if (!row) rows.set(cls, (row = order.map(() => 0)))
    const named = order.indexOf(text(kept.e, 'dir') ?? '')
    const column = named < 0 ? order.length - 1 : named
    row[column] = (row[column] ?? 0) + 1
    sums[column] = (sums[column] ?? 0) + 1
  }
  const list2 = [...rows].map(([cls, counts]) => ({ cls, counts, total: counts.reduce((sum, n) => sum + n, 0) }))
  list2.sort((a, b) => b.total - a.total || a.cls.localeCompare(b.cls))
  const rest = list2.length > MOST_CLASSES ? list2.splice(MOST_CLASSES) : []
  if (rest.length > 0) {
    const counts = order.map((_, i) => rest.reduce((sum, row) => sum + (row.counts[i] ?? 0), 0))
    list2.push({ cls: othersName(rest.length), counts, total: rest.reduce((sum, { total }) => sum + total, 0) })
  }
  return { directions: [...order], others: rest.length, rows: list2, counts: sums, total: list.length }
}
