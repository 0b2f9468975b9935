/** Twenty-four small bars: crossings in each of the last 24 hours. */
import { svg } from '../dom.ts'

const WIDTH = 96
const HEIGHT = 22

export function spark(counts: readonly number[], label: string): SVGSVGElement {
  const step = WIDTH / counts.length
  const max = Math.max(3, ...counts)
  const bars = counts.map((n, i) => {
    const height = n === 0 ? 1 : 3 + (n / max) * (HEIGHT - 4)
    return svg('rect', { x: i * step + 0.5, y: HEIGHT - height, width: step - 1, height, class: n === 0 ? 'zero' : 'bar', rx: 0.6 })
  })
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'spark', role: 'img', 'aria-label': label, preserveAspectRatio: 'none' }, bars)
}
