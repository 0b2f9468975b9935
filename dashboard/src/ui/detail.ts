/** An event from close by: its still, all that is known of it, and the bytes as they came. */
import type { App } from '../app.ts'
import { moved } from '../model/book.ts'
import type { Entry } from '../model/entries.ts'
import { S } from '../strings/index.ts'
import { number, text, time } from '../wire/event.ts'
import { FilesPanel } from './detail-files.ts'
import { makeDialog } from './dialog.ts'
import { h } from './dom.ts'
import * as format from './format.ts'
import { hashOf } from './route.ts'
import { thumb, thumbKey } from './thumb.ts'
import { headline, objectOf, otherEnd } from './words.ts'

/** How long something has been silent is told anew this often. */
const TICK_MS = 5_000

/** Opens an entry; `neighbour` gives the one before or after it in the list it stands in. */
export function openDetail(app: App, first: Entry, neighbour?: (entry: Entry, step: 1 | -1) => Entry | undefined): void {
  const dialog = makeDialog('detail')
  let refresh = (): void => {}
  const show = (entry: Entry): void => {
    dialog.setTitle(headline(entry))
    const { kept } = entry
    const picture = h('div', { class: 'picture-part' })
    const files = new FilesPanel(app, kept, () => dialog.close())
    let look = ''
    refresh = () => {
      files.update(Date.now())
      // The still may have come meanwhile.
      if (look === thumbKey(app, kept)) return
      look = thumbKey(app, kept)
      picture.replaceChildren(h('div', { class: 'large' }, thumb(app, kept)), checksum(app, entry) ?? '')
    }
    refresh()
    const go = (step: 1 | -1, label: string): HTMLElement => {
      const next = neighbour?.(entry, step)
      return h('button', { type: 'button', class: 'quiet', disabled: !next, 'data-step': step, onclick: () => {
        if (!next) return
        show(next)
        dialog.body.querySelector<HTMLButtonElement>(`[data-step="${step}"]:not([disabled])`)?.focus()
      } }, label)
    }
    dialog.body.replaceChildren(
      picture,
      files.element,
      facts(entry),
      h('nav', { class: 'buttons' }, go(-1, S.detail.newer), go(1, S.detail.older),
        h('a', { class: 'button', href: around(entry), onclick: () => dialog.close() }, S.detail.around),
        h('a', { class: 'button', href: hashOf('unit', entry.kept.e.unit), onclick: () => dialog.close() }, S.detail.openUnit)),
      h('details', { class: 'raw' }, h('summary', null, S.detail.raw),
        entry.of.map(({ e }) => h('pre', { tabindex: '0' }, JSON.stringify(e, null, 1)))),
    )
  }
  show(first)
  dialog.element.addEventListener('keydown', (event) => {
    // In a video arrows seek.
    if (event.target instanceof HTMLVideoElement) return
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : undefined
    if (step !== undefined) dialog.body.querySelector<HTMLButtonElement>(`[data-step="${step}"]`)?.click()
  })
  const stop = app.onChange(() => refresh())
  const tick = setInterval(() => refresh(), TICK_MS)
  dialog.element.addEventListener('close', () => {
    stop()
    clearInterval(tick)
    dialog.element.remove()
  })
  document.body.append(dialog.element)
  dialog.open()
}

/** Whether the still is the one that the event names. */
function checksum(app: App, { kept }: Entry): HTMLElement | null {
  const id = text(kept.e, 'id')
  const named = kept.thing?.end && text(kept.thing.end.e, 'still')
  if (id === undefined || named === undefined || !app.stills.has(kept.e.unit, id)) return null
  const line = h('p', { class: 'hint' })
  void app.stills.sha256(kept.e.unit, id).then((sum) => {
    line.textContent = sum === undefined ? '' : sum === named ? S.detail.sameStill(sum.slice(0, 12)) : S.detail.otherStill
  })
  return line
}

function facts({ kept }: Entry): HTMLElement {
  const { e } = kept
  const list = h('dl', { class: 'facts wide' })
  const fact = (name: string, value: string | undefined, note?: string): void => {
    if (value === undefined || value === '') return
    list.append(h('div', null, h('dt', null, name), h('dd', null, value, note ? h('small', null, note) : null)))
  }
  const cls = objectOf(kept)
  const was = text(e, 'cls')
  const conf = number(e, 'conf')
  const t = S.detail
  fact(t.time, format.exact(kept.at), kept.moved ? t.reported(format.exact(kept.t)) : undefined)
  fact(t.uncertainty, kept.tu === null ? S.entry.timeUnknown : format.uncertainty(kept.tu), S.clock[text(e, 'ts') ?? ''])
  if (e['replay'] !== true && e['ts'] !== 'file') fact(t.delay, S.pattern.after(format.seconds(Math.max(0, kept.rx - kept.at) / 1000)))
  fact(t.unit, e.unit)
  fact(t.camera, text(e, 'cam'))
  fact(t.wire, text(e, 'wire'))
  fact(t.direction, text(e, 'dir'))
  const end = otherEnd(kept)
  if (was) fact(t.cls, cls, end !== undefined ? t.inTheEnd(end) : was.toLowerCase() === cls.toLowerCase() ? undefined : t.was(was))
  if (conf !== undefined) fact(t.confidence, `${Math.round(conf * 100)} %`)
  const thing = kept.thing
  const dur = thing?.end && number(thing.end.e, 'dur')
  if (dur !== undefined) fact(t.inView, format.seconds(dur))
  fact(t.count, number(e, 'n')?.toString())
  const t0 = moved(kept, time(e, 't0'))
  if (t0 !== undefined) fact(S.pattern.lasted, format.seconds((kept.at - t0) / 1000))
  fact(t.why, text(e, 'why'))
  fact(t.number, `${e.log} ${e.seq}`)
  return list
}

/** The timeline of the quarter of an hour before and after. */
function around({ kept }: Entry): string {
  const [from, to] = [kept.at - 900_000, kept.at + 900_000]
  return hashOf('timeline', '', { from: String(from), to: String(to), show: 'all' })
}
