/** One figure over time as a line, with its range. A gap in time is a gap in the line. */
import { h, svg } from '../dom.ts'
import * as format from '../format.ts'

const WIDTH = 320
const HEIGHT = 84

export interface Point {
  at: number
  value: number
}

export function lineChart(title: string, points: readonly Point[], show: (value: number) => string, fromZero: boolean): HTMLElement {
  const list = thin(points, 300)
  const last = list[list.length - 1]
  const values = list.map(({ value }) => value)
  const [least, high] = [Math.min(...values), Math.max(...values)]
  const low = fromZero ? 0 : least
  const [begin, end] = [list[0]?.at ?? 0, last?.at ?? 1]
  const room = high - low || Math.max(1, Math.abs(high))
  const x = (at: number): number => 2 + ((at - begin) / Math.max(1, end - begin)) * (WIDTH - 6)
  const y = (value: number): number => HEIGHT - 6 - ((value - low) / room) * (HEIGHT - 14)
  // Three times the usual step without a message is a hole.
  const usual = median(list.slice(1).map(({ at }, i) => at - (list[i]?.at ?? at)))
  let path = ''
  list.forEach(({ at, value }, i) => {
    const before = list[i - 1]
    path += `${before && at - before.at <= usual * 3 + 1000 ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`
  })
  const label = last ? `${title}: ${show(last.value)}, ${show(least)} – ${show(high)}` : title
  return h('figure', { class: 'line-chart' },
    h('figcaption', null, h('span', null, title), h('b', null, last ? show(last.value) : '–')),
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': label, preserveAspectRatio: 'none' },
      svg('line', { x1: 0, x2: WIDTH, y1: HEIGHT - 6, y2: HEIGHT - 6, class: 'grid' }), svg('path', { d: path, class: 'curve' }),
      last ? svg('circle', { cx: x(last.at), cy: y(last.value), r: 2.6, class: 'tip' }) : null),
    h('p', null, h('span', null, format.moment(begin, end)), h('span', null, `${show(least)} – ${show(high)}`), h('span', null, format.moment(end, Date.now()))))
}

/** At most `most` points: the highest of each stretch, so that no peak is lost. */
function thin(points: readonly Point[], most: number): readonly Point[] {
  if (points.length <= most) return points
  const size = points.length / most
  return Array.from({ length: most }, (_, i) =>
    points.slice(Math.floor(i * size), Math.floor((i + 1) * size)).reduce((top, point) => (point.value > top.value ? point : top)))
}

function median(values: number[]): number {
  values.sort((a, b) => a - b)
  return values[values.length >> 1] ?? Infinity
}
