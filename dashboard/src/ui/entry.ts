/** One entry of the timeline, as a row. */
import type { App } from '../app.ts'
import { dayOf, iso } from '../model/calendar.ts'
import type { Entry } from '../model/entries.ts'
import { S } from '../strings/index.ts'
import { groupOf, nameOf, number } from '../wire/event.ts'
import { h } from './dom.ts'
import * as format from './format.ts'
import { thumb, thumbKey } from './thumb.ts'
import { headlineElement, particulars } from './words.ts'

/** More than a healthy link takes. */
const LATE_MS = 60_000

/** Changes whenever the row would look different. */
export function entryLook(app: App, entry: Entry): string {
  const { kept } = entry
  return [thumbKey(app, kept), kept.at, kept.tu, entry.of.length, format.currentZone()].join(' ')
}

/** `plain`: for a short list without days, beside other things. */
export function entryRow(app: App, entry: Entry, open: (entry: Entry) => void, plain?: { unit: boolean }): HTMLElement {
  const { kept, sort } = entry
  const { e } = kept
  const conf = number(e, 'conf')
  const words = [...(plain?.unit === false ? [] : [e.unit]), ...particulars(entry)]
  return h('li', { class: `entry ${sort} ${groupOf(e) ?? ''}`, 'data-event': nameOf(e) },
    h('button', { type: 'button', class: 'row', onclick: () => open(entry) },
      thumb(app, kept),
      h('span', { class: 'what' }, headlineElement(entry), h('span', { class: 'words' }, words.join(' · '))),
      h('span', { class: 'marks' }, marks(entry), conf === undefined || sort === 'group' ? null : h('span', { class: 'conf' }, S.entry.sure(Math.round(conf * 100)))),
      h('span', { class: 'when' },
        plain && dayOf(kept.at, format.currentZone()) !== dayOf(Date.now(), format.currentZone()) ? h('span', { class: 'of-day' }, format.shortDay(kept.at)) : null,
        h('time', { datetime: iso(kept.at), title: format.exact(kept.at) }, format.clock(kept.at)),
        h('span', { class: kept.tu === null && e['ts'] !== 'file' ? 'tu warn' : 'tu', title: kept.tu === null ? S.entry.timeUnknown : null }, `${format.uncertainty(kept.tu)} ${format.zoneName(kept.at)}`))))
}

/** What is unusual about it. */
function marks({ kept, sort }: Entry): HTMLElement[] {
  const { e } = kept
  const list: HTMLElement[] = []
  const mark = (word: string, kind = ''): number => list.push(h('span', { class: `mark-chip ${kind}` }, word))
  if (e['replay'] === true || e['ts'] === 'file') mark(S.entry.recording)
  else {
    if (kept.rx - kept.at > LATE_MS) mark(S.entry.delay(format.span(kept.rx - kept.at)))
    if (kept.moved) mark(S.entry.corrected)
  }
  const thing = kept.thing
  if (sort === 'sighting' && thing && !thing.end && Date.now() - kept.at < 10 * 60_000) mark(S.entry.still, 'live')
  return list
}
