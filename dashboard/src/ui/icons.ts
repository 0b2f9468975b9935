/** Small drawings, each a few strokes in a box of 24 × 24. */
import { svg } from './dom.ts'
import type { Group } from '../wire/event.ts'

const PATHS: Record<string, string> = {
  // Pages
  now: 'M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17M12 8.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7',
  timeline: 'M4 6h3M4 12h3M4 18h3M11 6h9M11 12h9M11 18h6',
  pattern: 'M4 20v-6M9.3 20V9M14.6 20v-8M20 20V4',
  unit: 'M4 8.5h12a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H4zM18 12l3-2v7l-3-2M8 13.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5a2 2 0 1 0 0 4a2 2 0 1 0 0-4M9 15a2 2 0 1 0 0 4a2 2 0 1 0 0-4',
  // What passes
  car: 'M3 16v-3.2l2-.8 2-4.5h8l3 4.5 3 .8V16zM6.8 14.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4M17 14.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4',
  truck: 'M2.5 6.5H14V16H2.5zM14 10h4l3.5 3.5V16H14M6.5 14.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4M17.5 14.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4',
  bus: 'M3 6h18v10H3zM3 11h18M9 6v5M15 6v5M7 14.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4M17 14.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4',
  motorcycle: 'M5.5 12.5a3 3 0 1 0 0 6a3 3 0 1 0 0-6M18.5 12.5a3 3 0 1 0 0 6a3 3 0 1 0 0-6M5.5 15.5l4-5h5l2 1.5 2 3.5M9.5 15.5h4.5l2-5M14.5 7h2.5l1 3',
  bicycle: 'M5.5 12a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7M18.5 12a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7M5.5 15.5l3-6h7l3 6M8.5 9.5l3 6 4-6M7 9.5h3M14.5 7h2',
  person: 'M12 3.5a2.2 2.2 0 1 0 0 4.4a2.2 2.2 0 1 0 0-4.4M12 10v5.5M12 15.5l-3 5.5M12 15.5l3 5.5M7.5 13l4.5-3 4.5 3',
  animal: 'M4 9.5l1.5-3 3 3h7l4.5-2-1.5 4V20M4 9.5v3h4V20M12 13.5h3V20',
  // How things are
  alert: 'M12 4L2.8 19.5h18.4zM12 10v4.5M12 17v.3',
  silent: 'M4 12h3l2-5 3 10 2-5h6M3 3l18 18',
  asleep: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  gear: 'M12 8.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M18.4 5.6l-2.1 2.1M7.7 16.3l-2.1 2.1',
  close: 'M6 6l12 12M18 6L6 18',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14',
  filter: 'M4 6h16M7 12h10M10 18h4',
  // Directions
  left: 'M20 12H4M10 6l-6 6 6 6',
  right: 'M4 12h16M14 6l6 6-6 6',
  up: 'M12 20V4M6 10l6-6 6 6',
  down: 'M12 4v16M6 14l6 6 6-6',
}

/** Direction names that have an arrow. Others are told by their name alone. */
const ARROWS: Record<string, string> = {
  left: 'left', right: 'right', up: 'up', down: 'down', west: 'left', east: 'right', north: 'up', south: 'down',
}

export function icon(name: string, label?: string): SVGSVGElement {
  const path = PATHS[name] ?? ''
  const attributes = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' }
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', ...attributes }, svg('path', { d: path }))
}

/** The drawing of a fine class, or of its group. */
export function classIcon(cls: string | undefined, group: Group | undefined): SVGSVGElement {
  const name = cls !== undefined && cls in PATHS ? cls : group === 'vehicle' ? 'car' : (group ?? 'alert')
  const element = icon(name)
  element.classList.add(group ?? 'other')
  return element
}

export function arrow(dir: string | undefined): SVGSVGElement | null {
  const name = dir === undefined ? undefined : ARROWS[dir.toLowerCase()]
  return name ? icon(name) : null
}
