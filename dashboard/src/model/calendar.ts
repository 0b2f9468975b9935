/**
 * Hours and days as people count them, in the zone of the browser or in UTC.
 * Days have 23 to 25 hours where clocks change: steps are taken by the calendar,
 * never by adding milliseconds.
 */

export type Zone = 'local' | 'utc'

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

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

/** The begin of an hour of the day that begins at `day`. */
export function hourOfDay(day: number, hour: number, zone: Zone): number {
  if (zone === 'utc') return day + hour * HOUR_MS
  const date = new Date(day)
  return new Date(date.getFullYear(), date.getMonth(), date.getDate(), hour).getTime()
}
