/**
 * Hours and days as people count them, in the zone of the browser or in UTC.
 * Days have 23 to 25 hours where clocks change: steps are taken by the calendar,
 * never by adding milliseconds.
 */

export type Zone = 'local' | 'utc'

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

/** What a `Date` can tell ends this many ms before and after 1970. */
export const FURTHEST_MS = 8.64e15

/** A time that came about by adding what somebody sent, brought within what a `Date` can tell. */
export function clampTime(at: number): number {
  return Math.min(Math.max(at, -FURTHEST_MS), FURTHEST_MS)
}

/** Whether it can be told: neither no number at all nor cut by `clampTime`. */
export function isTime(at: number): boolean {
  return Math.abs(at) < FURTHEST_MS
}

/** RFC 3339 in UTC, with milliseconds; "?" where no calendar reaches. */
export function iso(at: number): string {
  return isTime(at) ? new Date(at).toISOString() : '?'
}

/** The begin of the day that `at` is in. */
export function dayOf(at: number, zone: Zone): number {
  if (zone === 'utc') return Math.floor(at / DAY_MS) * DAY_MS
  const date = new Date(at)
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()
}

/** The begin of the day `n` days after the day that begins at `day`. */
export function addDays(day: number, n: number, zone: Zone): number {
  if (zone === 'utc') return day + n * DAY_MS
  const date = new Date(day)
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + n).getTime()
}

/** The hour of the day, 0 to 23. */
export function hourOf(at: number, zone: Zone): number {
  const date = new Date(at)
  return zone === 'utc' ? date.getUTCHours() : date.getHours()
}

/** The day that `at` is in: 2026-11-22. */
export function dateOf(at: number, zone: Zone): string {
  const date = new Date(at)
  // As if the zone's clock were that of UTC.
  return iso(zone === 'utc' ? at : Date.UTC(date.getFullYear(), date.getMonth(), date.getDate())).slice(0, 10)
}

/** The begin of an hour of the day that begins at `day`. */
export function hourOfDay(day: number, hour: number, zone: Zone): number {
  if (zone === 'utc') return day + hour * HOUR_MS
  const date = new Date(day)
  return new Date(date.getFullYear(), date.getMonth(), date.getDate(), hour).getTime()
}
