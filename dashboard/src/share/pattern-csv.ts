/** The tables of the pattern as CSV: the same counts, and how much was watched. */
import { dateOf, HOUR_MS, hourOf, iso, type Zone } from '../model/calendar.ts'
import type { Heat, Series, Totals } from '../model/pattern.ts'
import type { Return } from '../model/returns.ts'
import { text } from '../wire/event.ts'
import { csvOf, type Field } from './csv.ts'

/**
 * One line for each hour until `now`. `told`: the share of it of which the units
 * said whether they watched; `watched`: the share in which they did, 0 to 1.
 */
export function heatCsv(heat: Heat, now: number, zone: Zone): string {
  const share = (value: number): number => Math.round(value * 1000) / 1000
  const rows: Field[][] = [['day', 'hour', 'begin_utc', 'crossings', 'told', 'watched']]
  for (const { day, cells } of [...heat.days].reverse()) {
    cells.forEach(({ at, n, share: { told, seen } }, hour) => {
      if (at <= now) rows.push([dateOf(day, zone), hour, iso(at), n, share(told), share(seen)])
    })
  }
  return csvOf(rows)
}

/** One line for each hour or day, with a column for each direction. */
export function directionsCsv({ edges, directions }: Series, zone: Zone): string {
  const rows: Field[][] = [['day', 'hour', 'begin_utc', ...directions.map(({ dir }) => dir)]]
  const byHour = (edges[1] ?? 0) - (edges[0] ?? 0) <= HOUR_MS
  edges.slice(0, -1).forEach((at, i) => {
    rows.push([dateOf(at, zone), byHour ? hourOf(at, zone) : undefined, iso(at), ...directions.map(({ counts }) => counts[i] ?? 0)])
  })
  return csvOf(rows)
}

/** One line for each class, with a column for each direction. */
export function totalsCsv({ directions, rows }: Totals): string {
  return csvOf([['class', ...directions, 'total'], ...rows.map(({ cls, counts, total }) => [cls, ...counts, total])])
}

/** One line for each pair, the latest first. */
export function returnsCsv(pairs: readonly Return[]): string {
  const head = ['class', 'out_utc', 'out_direction', 'back_utc', 'back_direction', 'others_between', 'unit', 'camera', 'wire']
  return csvOf([head, ...pairs.map(({ out, back, cls, among }) => [
    cls, iso(out.at), text(out.e, 'dir'), iso(back.at), text(back.e, 'dir'), among, out.e.unit, text(out.e, 'cam'), text(out.e, 'wire'),
  ])])
}
