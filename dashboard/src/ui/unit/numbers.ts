/** What is missing of a unit's journals, and the button that asks for it again. */
import type { App } from '../../app.ts'
import { count, type Range } from '../../model/numbers.ts'
import { S } from '../../strings/index.ts'
import { card, h } from '../dom.ts'

/** Ranges told one by one; beyond that their number says enough. */
const MOST = 6

export function numbersPanel(app: App, unit: string): HTMLElement {
  const t = S.unit
  const present = app.fleet.unit(unit).heard.status?.log
  const lists = [...app.fleet.book.journalsOf(unit)].map(([log, journal]) => {
    const { gaps, earlier, lost } = journal.gaps()
    // Only the present journal can be asked.
    const askable = present === undefined || present === log
    const part = (ranges: Range[], text: string, label: string, kind: string): HTMLElement | null => {
      if (ranges.length === 0) return null
      return h('div', { class: `gap ${kind}` },
        h('p', null, h('b', null, text), h('span', { class: 'mono' }, ranges.slice(0, MOST).map(({ from, to }) => t.range(from, to)).join(', ') + (ranges.length > MOST ? ' …' : ''))),
        askable ? askButton(app, unit, log, ranges, label) : null)
    }
    return h('div', { class: 'journal' }, h('p', { class: 'hint' }, t.journal(log, journal.seq, journal.low)),
      part(gaps, t.gaps(count(gaps)), t.resend, 'missing'), part(earlier, t.earlier(count(earlier)), t.fetch, 'earlier'),
      part(lost, t.lost(count(lost)), t.askOnce, 'reported'),
      gaps.length + earlier.length + lost.length === 0 ? h('p', { class: 'complete' }, t.complete) : null)
  })
  return card(t.numbers, t.numbersHint, h('div', null, lists))
}

function askButton(app: App, unit: string, log: string, ranges: Range[], label: string): HTMLElement {
  const asked = app.asking.has(unit)
  const button = h('button', { type: 'button', disabled: asked || app.link.is !== 'online', onclick: () => {
    button.blur()
    app.ask(unit, log, ranges)
  } }, asked ? S.unit.asking : label)
  return button
}
