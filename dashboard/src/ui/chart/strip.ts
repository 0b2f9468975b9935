/** When a camera watched, as a strip for each of the last days. */
import { shares, type Watch } from '../../model/coverage.ts'
import { addDays, dayOf, HOUR_MS } from '../../model/calendar.ts'
import { h, setStyle } from '../dom.ts'
import * as format from '../format.ts'
import { S } from '../../strings/index.ts'

const DAYS = 7
/** A quarter of an hour. */
const CELL_MS = HOUR_MS / 4

export function watchStrips(cam: string, list: readonly Watch[], now: number): HTMLElement {
  const zone = format.currentZone()
  const today = dayOf(now, zone)
  let [told, past] = [0, 0]
  const rows = Array.from({ length: DAYS }, (_, i) => {
    const day = addDays(today, i - DAYS + 1, zone)
    const cells = Math.round((addDays(day, 1, zone) - day) / CELL_MS)
    const all = shares(list, day, CELL_MS, cells)
    const strip = h('div', { class: 'strip' })
    // Neighbours that look the same are one piece.
    let piece: { kind: string; cells: number } | undefined
    const pieces: { kind: string; cells: number }[] = []
    all.forEach(({ told: part, seen }, cell) => {
      const future = day + cell * CELL_MS >= now
      if (!future) {
        told += seen
        past += 1
      }
      const kind = future ? 'future' : part < 0.1 ? 'unknown' : seen < part * 0.9 ? 'blind' : part < 0.9 ? 'part' : 'seen'
      if (piece?.kind === kind) piece.cells += 1
      else pieces.push((piece = { kind, cells: 1 }))
    })
    for (const { kind, cells: n } of pieces) {
      const element = h('i', { class: kind })
      setStyle(element, { 'flex-grow': String(n) })
      strip.append(element)
    }
    return h('div', { class: 'strip-row' }, h('span', null, format.shortDay(day)), strip)
  })
  const label = S.unit.watchedAlt(cam, past > 0 ? Math.round((told / past) * 100) : 0)
  return h('div', { class: 'strips', role: 'img', 'aria-label': label }, rows)
}
