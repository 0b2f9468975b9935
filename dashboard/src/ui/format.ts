/** Times, spans and figures as people read them; "?" for what no calendar reaches: whoever sent it, the page goes on. */
import { dayOf, DAY_MS, FURTHEST_MS, iso, isTime, type Zone } from '../model/calendar.ts'
import { S } from '../strings/index.ts'

let zone: Zone = 'local'
let formats = makeFormats()

export function setZone(value: Zone): void {
  zone = value
  formats = makeFormats()
}

export function currentZone(): Zone {
  return zone
}

function makeFormats(): Record<'clock' | 'minute' | 'day' | 'shortDay' | 'zone', Intl.DateTimeFormat> {
  const timeZone = zone === 'utc' ? 'UTC' : undefined
  // The reader's own way to write dates, in the page's language.
  const language = navigator.language.startsWith(S.language) ? navigator.language : S.language
  const make = (options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat =>
    new Intl.DateTimeFormat(language, { timeZone, hourCycle: 'h23', ...options })
  return {
    clock: make({ hour: '2-digit', minute: '2-digit', second: '2-digit' }),
    minute: make({ hour: '2-digit', minute: '2-digit' }),
    day: make({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }),
    shortDay: make({ weekday: 'short', day: 'numeric', month: 'short' }),
    zone: make({ timeZoneName: 'short' }),
  }
}

const told = (at: number, as: (at: number) => string): string => (isTime(at) ? as(at) : S.untold)

/** 14:03:22 */
export const clock = (at: number): string => told(at, (time) => formats.clock.format(time))
/** 14:03 */
export const minute = (at: number): string => told(at, (time) => formats.minute.format(time))
/** Sunday 22 November 2026 */
export const day = (at: number): string => told(at, (time) => formats.day.format(time))
/** Sun, 22 Nov */
export const shortDay = (at: number): string => told(at, (time) => formats.shortDay.format(time))

/** 14:03, or Sun, 22 Nov 14:03 if that was not today. */
export function moment(at: number, now: number): string {
  if (!isTime(at)) return S.untold
  return dayOf(at, zone) === dayOf(now, zone) ? minute(at) : `${shortDay(at)} ${minute(at)}`
}

/** Sun, 22 Nov 14:03:22 GMT+1 */
export function exact(at: number): string {
  return told(at, (time) => `${shortDay(time)} ${new Date(time).getUTCFullYear()}, ${clock(time)} ${zoneName(time)}`)
}

/** The name of the zone at that time: CET, GMT+1, UTC. */
export function zoneName(at: number): string {
  return isTime(at) ? (formats.zone.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? '') : ''
}

/** A span in the largest unit that is not zero, with the next one where it matters: 2 h 14 min. */
export function span(ms: number): string {
  // Longer than all time that can be told.
  if (!(Math.abs(ms) <= 2 * FURTHEST_MS)) return S.untold
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 60) return S.span.s(s)
  const min = Math.floor(s / 60)
  if (min < 60) return S.span.min(min)
  const hours = Math.floor(min / 60)
  if (hours < 10 && min % 60 > 0) return `${S.span.h(hours)} ${S.span.min(min % 60)}`
  if (hours < 48) return S.span.h(hours)
  return S.span.d(Math.floor((hours * 3_600_000) / DAY_MS))
}

export function ago(at: number, now: number): string {
  return now - at < 5_000 ? S.justNow : S.ago(span(now - at))
}

/** ± as small a figure as is honest: ±12 ms, ±3 s, ±4 min. */
export function uncertainty(ms: number | null): string {
  if (ms === null) return '±?'
  if (ms < 1000) return `±${Math.round(ms)} ms`
  if (ms < 10_000) return `±${(ms / 1000).toFixed(1)} s`
  return `±${span(ms)}`
}

export function seconds(s: number): string {
  return s < 10 ? `${s.toFixed(1)} s` : span(s * 1000)
}

/** Bytes in powers of ten, as the health message counts them. */
export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = n
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`
}

export const celsius = (c: number): string => `${c.toFixed(c < 10 ? 1 : 0)} °C`

export const percent = (share: number): string => `${Math.round(share * 100)} %`

/** gate-road-2026-11-22T14-03-22Z: a name that every file system takes. */
export function fileName(unit: string, cam: string, at: number): string {
  const words = [unit, cam].filter(Boolean).map((word) => word.replace(/[^A-Za-z0-9._-]+/g, '_').slice(0, 40))
  return [...words, isTime(at) ? iso(at).slice(0, 19).replaceAll(':', '-') + 'Z' : 'unknown'].join('-')
}

/** car → Car */
export function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
