/**
 * The events of the wire format, version 1, as plain JSON objects: what
 * docs/reference/wire.md describes. Payloads come from outside. `decode` has
 * checked the keys that every event has; each further key is read through
 * `text`, `number` and the like, which give nothing where the type is wrong.
 */

/** An event in its JSON form: times as RFC 3339, fractions as numbers. */
export interface WireEvent {
  readonly v: number
  readonly unit: string
  readonly log: string
  readonly seq: number
  readonly kind: string
  readonly t: string
  readonly [key: string]: unknown
}

/** What an object is. */
export type Group = 'vehicle' | 'person' | 'animal'

export function text(e: WireEvent, key: string): string | undefined {
  const value = e[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function number(e: WireEvent, key: string): number | undefined {
  const value = e[key]
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** A list of texts; what is none in it is left out. */
export function texts(e: WireEvent, key: string): string[] {
  const value = e[key]
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string' && item !== '') : []
}

export function groupOf(e: WireEvent): Group | undefined {
  const group = e['grp']
  return group === 'vehicle' || group === 'person' || group === 'animal' ? group : undefined
}

/** `box` as [x, y, w, h] in fractions of the picture. */
export function boxOf(e: WireEvent): [number, number, number, number] | undefined {
  const box = e['box']
  if (!Array.isArray(box) || box.length !== 4) return undefined
  if (!box.every((side) => typeof side === 'number' && side >= -1 && side <= 2)) return undefined
  return box as [number, number, number, number]
}

/** A key that holds a time, ms since 1970. */
export function time(e: WireEvent, key: string): number | undefined {
  const value = e[key]
  return typeof value === 'string' ? parseTime(value) : undefined
}

/** RFC 3339 in UTC to ms since 1970. */
export function parseTime(value: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(value)) return undefined
  const ms = Date.parse(value)
  return Number.isNaN(ms) ? undefined : ms
}

/** The name of an event: the same three in every copy of it. */
export function nameOf(e: WireEvent): string {
  return `${e.unit} ${e.log} ${e.seq}`
}

/** One correction of a `clock` event. */
export interface Correction {
  readonly first: number
  readonly last: number
  readonly offsetMs: number
  readonly tu: number
}

/** No clock is wrong by more than three hundred years: what claims it corrects nothing. */
const MOST_OFFSET_MS = 1e13

export function correctionsOf(e: WireEvent): Correction[] {
  const ranges = e['ranges']
  if (!Array.isArray(ranges)) return []
  return ranges.flatMap((range): Correction[] => {
    if (!Array.isArray(range) || range.length !== 4) return []
    if (!range.every((value) => Number.isSafeInteger(value))) return []
    const [first, last, offsetMs, tu] = range as [number, number, number, number]
    return Math.abs(offsetMs) > MOST_OFFSET_MS ? [] : [{ first, last, offsetMs, tu }]
  })
}
