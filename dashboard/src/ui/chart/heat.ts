/**
 * The heat map: crossings by hour and day, as a table that also reads as one.
 * Hours that are not known to have been watched are hatched.
 */
import type { Cell, Heat } from '../../model/pattern.ts'
import { S } from '../../strings/index.ts'
import { h, setStyle } from '../dom.ts'
import * as format from '../format.ts'
import { hashOf } from '../route.ts'
import { HOUR_MS } from '../../model/calendar.ts'

/** The strength of a colour, 0 to 1. Leaves out the middle, on which neither light nor dark figures read well. */
function strength(share: number): number {
  const root = Math.sqrt(share)
  return root < 0.6 ? 0.12 + 0.5 * root : 0.72 + 0.7 * (root - 0.6)
}

/** Watched for less than this share of an hour, a zero proves little. */
const HARDLY = 0.5

/** `upright`: hours down and days across, for a narrow screen. */
export function heatTable(heat: Heat, now: number, query: Record<string, string | undefined>, upright: boolean): HTMLElement {
  if (upright) return uprightTable(heat, now, query)
  const hours = Array.from({ length: 24 }, (_, hour) => hour)
  const head = h('tr', null, h('th', { scope: 'col' }, h('span', { class: 'for-readers' }, S.pattern.day)),
    hours.map((hour) => h('th', { scope: 'col', class: hour % 3 === 0 ? '' : 'minor' }, String(hour))), h('th', { scope: 'col', class: 'sum' }, S.pattern.total))
  const rows = heat.days.map(({ day, total, cells }) =>
    h('tr', null, h('th', { scope: 'row' }, format.shortDay(day)), cells.map((cell) => heatCell(cell, heat.max, now, query)), h('td', { class: 'sum' }, total || S.none)))
  return h('div', { class: 'heat-holder', tabindex: '0', role: 'group', 'aria-label': S.pattern.heat }, h('table', { class: 'heat' }, h('thead', null, head), h('tbody', null, rows)))
}

function uprightTable(heat: Heat, now: number, query: Record<string, string | undefined>): HTMLElement {
  const days = [...heat.days].reverse()
  const head = h('tr', null, h('th', { scope: 'col' }, h('span', { class: 'for-readers' }, S.pattern.day)),
    days.map(({ day }) => h('th', { scope: 'col' }, format.shortDay(day))))
  const rows = Array.from({ length: 24 }, (_, hour) =>
    h('tr', null, h('th', { scope: 'row' }, String(hour)), days.map(({ cells }) => heatCell(cells[hour] as Cell, heat.max, now, query))))
  const sums = h('tr', null, h('th', { scope: 'row' }, S.pattern.total), days.map(({ total }) => h('td', { class: 'sum' }, total || S.none)))
  return h('div', { class: 'heat-holder' }, h('table', { class: 'heat upright' }, h('thead', null, head), h('tbody', null, rows), h('tfoot', null, sums)))
}

function heatCell(cell: Cell, max: number, now: number, query: Record<string, string | undefined>): HTMLElement {
  const { at, n, share } = cell
  if (at > now) return h('td', { class: 'future' })
  const unknown = share.told < HARDLY
  const watched = unknown ? S.pattern.notWatched : share.seen < 0.99 ? S.pattern.partly(Math.round(share.seen * 100)) : ''
  const label = S.pattern.heatCell(n, format.shortDay(at), `${format.minute(at)}–${format.minute(at + HOUR_MS)}`, watched)
  if (n === 0) return h('td', { class: unknown ? 'unknown' : 'zero', title: label }, h('span', { class: 'for-readers' }, unknown ? S.none : '0'))
  const href = hashOf('timeline', '', { ...query, show: 'crossing', from: String(at), to: String(at + HOUR_MS) })
  const element = h('td', { class: strength(n / max) > 0.5 ? 'full' : '' }, h('a', { href, title: label, 'aria-label': label }, n))
  setStyle(element, { '--heat': strength(n / max).toFixed(3) })
  return element
}

export function heatLegend(): HTMLElement {
  const steps = [0.04, 0.2, 0.45, 1].map((share) => {
    const step = h('i')
    setStyle(step, { '--heat': strength(share).toFixed(3) })
    return step
  })
  return h('p', { class: 'legend' }, S.pattern.less, h('span', { class: 'steps' }, steps), S.pattern.more, h('i', { class: 'unknown' }), S.pattern.unknown)
}
