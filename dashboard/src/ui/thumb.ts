/**
 * The picture of an event: its still, or until there is one a quiet drawing of
 * where in the picture the object was.
 */
import type { App } from '../app.ts'
import { S } from '../strings/index.ts'
import type { Kept } from '../model/kept.ts'
import { boxOf, groupOf, text } from '../wire/event.ts'
import { classOf, listedClass } from '../model/book.ts'
import { h, svg } from './dom.ts'
import { classIcon, icon } from './icons.ts'
import { objectOf } from './words.ts'

/** Icons of what is about no object. */
const KIND_ICONS: Record<string, string> = {
  group: 'group', camera: 'alert', tamper: 'alert', lost: 'alert', storage: 'alert', power: 'alert', pause: 'asleep', kept: 'download', watch: 'now', clock: 'gear', boot: 'gear',
}

export function thumb(app: App, kept: Kept): HTMLElement {
  const { e } = kept
  const holder = h('div', { class: `thumb kind-${KIND_ICONS[e.kind] ? 'other' : 'object'}` })
  const id = text(e, 'id')
  if (id && app.stills.has(e.unit, id)) {
    const ready = app.stills.ready(e.unit, id)
    if (ready) holder.append(picture(kept, ready))
    else {
      holder.append(drawing(kept))
      void app.stills.url(e.unit, id).then((url) => {
        if (url) holder.replaceChildren(picture(kept, url))
      })
    }
  } else {
    holder.append(drawing(kept))
  }
  return holder
}

/** Whether a thumbnail made before would look the same now. */
export function thumbKey(app: App, kept: Kept): string {
  const id = text(kept.e, 'id')
  return `${id !== undefined && app.stills.has(kept.e.unit, id)} ${classOf(kept)}`
}

function picture(kept: Kept, url: string): HTMLElement {
  const alt = S.entry.stillAlt(objectOf(kept), kept.e.unit)
  return h('img', { src: url, alt, decoding: 'async' })
}

/** A frame of 16:9 with the object's box in it. */
function drawing(kept: Kept): Element {
  const other = KIND_ICONS[kept.e.kind]
  const group = groupOf(kept.e)
  // Several of a kind, one behind the other.
  if (kept.e.kind === 'group') return h('span', { class: `several ${group ?? ''}` }, classIcon(undefined, group), classIcon(undefined, group), classIcon(undefined, group))
  if (other) return icon(other)
  const cls = listedClass(kept)
  const box = boxOf(kept.e) ?? boxOf(kept.thing?.start?.e ?? kept.e)
  const glyph = classIcon(cls, group)
  const size = 46
  let [x, y] = [80 - size / 2, 45 - size / 2]
  const shapes: SVGElement[] = []
  if (box) {
    const [left, top, width, height] = [box[0] * 160, box[1] * 90, box[2] * 160, box[3] * 90]
    shapes.push(svg('rect', { x: left, y: top, width, height, rx: 2, class: `place ${group ?? 'other'}` }))
    x = Math.min(Math.max(left + width / 2 - size / 2, 6), 154 - size)
    y = Math.min(Math.max(top + height / 2 - size / 2, 4), 86 - size)
  }
  glyph.setAttribute('x', String(x))
  glyph.setAttribute('y', String(y))
  glyph.setAttribute('width', String(size))
  glyph.setAttribute('height', String(size))
  const label = S.entry.placeAlt(objectOf(kept))
  return svg('svg', { viewBox: '0 0 160 90', class: 'drawing', role: 'img', 'aria-label': label }, shapes, glyph)
}
