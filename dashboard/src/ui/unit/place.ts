/** Where in each camera's picture the last crossings were; on the picture itself, if it was asked for. */
import type { App } from '../../app.ts'
import { S } from '../../strings/index.ts'
import type { Kept } from '../../model/kept.ts'
import { boxOf, groupOf, text } from '../../wire/event.ts'
import { card, h, svg } from '../dom.ts'
import * as format from '../format.ts'

const CROSSINGS = 40
const [WIDTH, HEIGHT] = [320, 180]

export function placePanel(app: App, unit: string): HTMLElement {
  const cameras = new Map<string, Kept[]>()
  const { events } = app.fleet.book
  let seen = 0
  for (let i = events.length - 1; i >= 0 && seen < CROSSINGS * 4; i--) {
    const kept = events[i] as Kept
    if (kept.e.unit !== unit || kept.e.kind !== 'crossing' || !boxOf(kept.e)) continue
    const cam = text(kept.e, 'cam') ?? ''
    const list = cameras.get(cam) ?? []
    if (list.length < CROSSINGS) list.push(kept)
    cameras.set(cam, list)
    seen += 1
  }
  const frames = [...cameras].sort(([a], [b]) => a.localeCompare(b)).map(([cam, list]) => frame(app, unit, cam, list))
  return card(S.unit.place, S.unit.placeHint, frames.length > 0 ? h('div', { class: 'frames' }, frames) : h('p', { class: 'none' }, S.now.noEvent))
}

function frame(app: App, unit: string, cam: string, list: readonly Kept[]): HTMLElement {
  const boxes = list.map((kept, i) => {
    const [x, y, w, height] = boxOf(kept.e) as [number, number, number, number]
    return svg('rect', {
      x: x * WIDTH, y: y * HEIGHT, width: w * WIDTH, height: height * HEIGHT, rx: 2, class: `place ${groupOf(kept.e) ?? 'other'}`,
      opacity: (1 - (0.8 * i) / list.length).toFixed(2),
    })
  })
  const look = app.fetches.lookOf(unit, cam)
  const seen = look?.url !== undefined && look.doneAt !== undefined ? { url: look.url, at: look.doneAt } : undefined
  const picture = h('div', { class: 'picture' })
  if (seen) picture.append(underlay(picture, seen.url))
  picture.append(svg('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'drawing', role: 'img', 'aria-label': `${S.unit.place}: ${cam}`,
  }, boxes))
  return h('figure', { class: 'frame' }, picture, h('figcaption', null, seen ? S.unit.placeOf(cam, format.moment(seen.at, Date.now())) : cam))
}

/** What the camera saw, in its own shape: boxes are fractions of it. */
function underlay(picture: HTMLElement, url: string): HTMLElement {
  const image = h('img', { src: url, alt: '', onload: () => picture.style.setProperty('aspect-ratio', `${image.naturalWidth} / ${image.naturalHeight}`) })
  return image
}
