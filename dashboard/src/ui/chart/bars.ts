/** Stacked bars over time: crossings by direction. The figures stand in the table of totals, too. */
import type { Series } from '../../model/pattern.ts'
import { DAY_MS } from '../../model/calendar.ts'
import { h, svg } from '../dom.ts'
import * as format from '../format.ts'

const HEIGHT = 190
const LEFT = 34
const BOTTOM = 24
/** More directions than this share the last colour. */
export const COLOURS = 5

export function directionBars(series: Series, label: string): HTMLElement {
  // Text does not shrink with the drawing.
  const width = innerWidth <= 640 ? 330 : 640
  const buckets = series.edges.length - 1
  const sums = Array.from({ length: buckets }, (_, i) => series.directions.reduce((sum, { counts }) => sum + (counts[i] ?? 0), 0))
  const top = niceTop(Math.max(1, ...sums))
  const step = (width - LEFT) / buckets
  const y = (n: number): number => HEIGHT - BOTTOM - (n / top) * (HEIGHT - BOTTOM - 8)
  const shapes: SVGElement[] = []
  for (const n of [0, top / 2, top]) {
    if (!Number.isInteger(n)) continue
    shapes.push(svg('line', { x1: LEFT, x2: width, y1: y(n), y2: y(n), class: 'grid' }), svg('text', { x: LEFT - 8, y: y(n) + 4, class: 'axis end' }, n))
  }
  const byHour = ((series.edges[1] ?? 0) - (series.edges[0] ?? 0)) < DAY_MS / 2
  const every = Math.ceil(buckets / ((byHour ? 8 : 10) / (width < 640 ? 2 : 1)))
  for (let i = 0; i < buckets; i++) {
    const at = series.edges[i] ?? 0
    const x = LEFT + i * step
    let below = 0
    const parts = series.directions.flatMap(({ dir, counts }, d) => {
      const n = counts[i] ?? 0
      if (n === 0) return []
      const rect = svg('rect', { x: x + step * 0.12, width: Math.max(1, step * 0.76), y: y(below + n), height: y(below) - y(below + n), class: `series s${Math.min(d, COLOURS - 1)}` },
        svg('title', null, `${byHour ? format.minute(at) : format.shortDay(at)}: ${n} ${dir}`))
      below += n
      return [rect]
    })
    shapes.push(...parts)
    if (i % every === 0) shapes.push(svg('text', { x: x + step / 2, y: HEIGHT - 7, class: 'axis middle' }, byHour ? format.minute(at) : format.shortDay(at).replace(/^[^\d]*/, '')))
  }
  const keys = series.directions.map(({ dir, total }, d) => h('li', null, h('i', { class: `series s${Math.min(d, COLOURS - 1)}` }), dir || '–', h('b', null, total)))
  return h('figure', { class: 'bars-chart' }, svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': label }, shapes), h('ul', { class: 'keys' }, keys))
}

/** The next even figure that reads well: 2, 4, 10, 20, 40, 100, … */
function niceTop(max: number): number {
  for (let power = 1; ; power *= 10) for (const step of [2, 4, 6, 10]) if (step * power >= max) return step * power
}
