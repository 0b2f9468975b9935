/** When and which way: counts that add up, convoys, and what may have come back. */
import type { App } from '../../app.ts'
import { addDays, dayOf, type Zone } from '../../model/calendar.ts'
import { watches } from '../../model/coverage.ts'
import { entries, entryOf, type Entry } from '../../model/entries.ts'
import { crossings, directions, heat, totals, type Heat, type PatternFilter, type Series, type Totals } from '../../model/pattern.ts'
import { returns, type Return } from '../../model/returns.ts'
import { moved } from '../../model/book.ts'
import { toCsv } from '../../share/csv.ts'
import { directionsCsv, heatCsv, returnsCsv, totalsCsv } from '../../share/pattern-csv.ts'
import { S } from '../../strings/index.ts'
import type { Kept } from '../../model/kept.ts'
import { groupOf, number, text, time } from '../../wire/event.ts'
import { card, h, setText } from '../dom.ts'
import { directionBars } from '../chart/bars.ts'
import { heatLegend, heatTable } from '../chart/heat.ts'
import { openDetail } from '../detail.ts'
import { exportMenu } from '../export.ts'
import * as format from '../format.ts'
import { classIcon } from '../icons.ts'
import { hashOf, type Route } from '../route.ts'
import type { Page } from '../shell.ts'
import { fill } from './timeline.ts'

/** Stands for many classes or directions: none has a name of a control character. */
const OTHERS = '\u0000'

const DAYS = [1, 7, 14, 30]
/** Lists on this page show at most so many; the timeline has them all. */
const MOST = 40

/** All that the page shows. */
interface Shown {
  now: number
  zone: Zone
  map: Heat
  series: Series
  table: Totals
  convoys: Entry[]
  found: ReturnType<typeof returns>
}

export class PatternPage implements Page {
  readonly element: HTMLElement
  private readonly body = h('div', { class: 'pattern-body' })
  private readonly selects: Record<'days' | 'unit' | 'cls', HTMLSelectElement>
  private readonly sum = h('strong', { class: 'big', role: 'status' })
  private query = new URLSearchParams()
  private shown = ''
  private drawn?: Shown

  constructor(private readonly app: App) {
    const select = (key: 'days' | 'unit' | 'cls', label: string): HTMLSelectElement => {
      const element = h('select', { 'aria-label': label, onchange: () => this.go({ [key]: element.value }) })
      return element
    }
    this.selects = { days: select('days', S.pattern.period), unit: select('unit', S.timeline.unit), cls: select('cls', S.timeline.cls) }
    // What was drawn last: while the menu is open new events may have come.
    const of = (make: (shown: Shown) => string) => () => (this.drawn ? make(this.drawn) : '')
    const menu = exportMenu([
      { label: S.exports.heat, name: 'hours', type: 'csv', content: of(({ map, now, zone }) => heatCsv(map, now, zone)) },
      { label: S.exports.directions, name: 'directions', type: 'csv', content: of(({ series, zone }) => directionsCsv(series, zone)) },
      { label: S.exports.totals, name: 'classes', type: 'csv', content: of(({ table }) => totalsCsv(table)) },
      { label: S.exports.convoys, name: 'convoys', type: 'csv', content: of(({ convoys }) => toCsv(convoys)) },
      { label: S.exports.returns, name: 'out-and-back', type: 'csv', content: of(({ found }) => returnsCsv(found.pairs)) },
    ])
    this.element = h('div', { class: 'page pattern' },
      h('h1', { class: 'for-readers' }, S.pattern.title),
      h('div', { class: 'filters' }, h('div', { class: 'selects' }, Object.values(this.selects)), h('div', { class: 'summary' }, this.sum, menu)),
      this.body)
  }

  enter(route: Route): void {
    this.query = route.query
    this.shown = ''
  }

  update(now: number): void {
    const { book } = this.app.fleet
    const zone = format.currentZone()
    const today = dayOf(now, zone)
    const look = `${book.version} ${zone} ${today} ${this.app.ready} ${innerWidth <= 640}`
    // Not while it is being used: a link under the pointer must not vanish.
    if (look === this.shown || (this.shown !== '' && this.body.contains(document.activeElement))) return
    this.shown = look
    const days = DAYS.find((n) => String(n) === this.query.get('days')) ?? 7
    const filter: PatternFilter = {
      unit: this.query.get('unit') ?? undefined, cls: this.query.get('cls') ?? undefined,
      from: addDays(today, 1 - days, zone), to: addDays(today, 1, zone),
    }
    this.drawFilters(filter, days)
    const list = crossings(book, filter)
    setText(this.sum, S.pattern.crossings(list.length))
    const map = heat(list, watches(book, filter.unit), filter, zone)
    const series = directions(list, filter, zone)
    const table = totals(list, series.directions.map(({ dir }) => dir))
    const convoys = entries(book, { sorts: new Set(['group']), ...filter })
    const found = returns(crossings(book, { ...filter, cls: undefined }), filter.cls)
    this.drawn = { now, zone, map, series, table, convoys, found }
    const query = { unit: filter.unit, cls: filter.cls }
    const t = S.pattern
    this.body.replaceChildren(
      card(t.heat, t.heatHint, heatTable(map, now, query, this.upright(days)), heatLegend()),
      h('div', { class: 'column' }, card(t.directions, undefined, list.length > 0 ? directionBars(series, t.directions) : h('p', { class: 'none' }, t.none)),
        card(t.convoys, t.convoysHint, this.convoys(convoys))),
      h('div', { class: 'column' }, card(t.totals, undefined, list.length > 0 ? this.totalsTable(table, filter, series.others > 0) : h('p', { class: 'none' }, t.none)),
        card(t.returns, t.returnsHint, this.returns(found))))
  }

  /** Whether days stand side by side: where they have room and hours have not. */
  private upright(days: number): boolean {
    return days <= 7 && matchMedia('(max-width: 640px)').matches
  }

  private drawFilters(filter: PatternFilter, days: number): void {
    const { book, units } = this.app.fleet
    fill(this.selects.days, DAYS.map((n) => [String(n), S.pattern.days(n)] as const), String(days))
    const ids = [...units.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
    fill(this.selects.unit, [['', S.timeline.allUnits], ...ids.map((id) => [id, id] as const)], filter.unit ?? '')
    const all = totals(crossings(book, { ...filter, cls: undefined }), [])
    const named = all.others > 0 ? all.rows.slice(0, -1) : all.rows
    const classes = named.map(({ cls }) => cls).filter((cls) => !(cls in S.groupsMany))
    const groups = Object.entries(S.groupsMany)
    fill(this.selects.cls, [['', S.timeline.allClasses], ...groups, ...classes.map((cls) => [cls, format.capital(cls)] as const)], filter.cls ?? '')
  }

  private go(change: Record<string, string>): void {
    location.hash = hashOf('pattern', '', { ...Object.fromEntries(this.query), ...change })
  }

  private totalsTable(table: Totals, filter: PatternFilter, others: boolean): HTMLElement {
    const link = (n: number, cls: string | undefined, dir: string | undefined): Node | string => {
      if (n === 0) return S.none
      // The timeline has no name for many together.
      if (cls === OTHERS || dir === OTHERS) return n.toLocaleString(S.language)
      const query = { show: 'crossing', unit: filter.unit, cls: cls ?? filter.cls, dir, from: String(filter.from), to: String(filter.to) }
      return h('a', { href: hashOf('timeline', '', query) }, n.toLocaleString(S.language))
    }
    const cells = (counts: number[], total: number, cls?: string): HTMLElement[] => [
      ...table.directions.map((dir, i) => h('td', null, link(counts[i] ?? 0, cls, others && i === table.directions.length - 1 ? OTHERS : dir))), h('td', { class: 'sum' }, link(total, cls, undefined))]
    return h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': S.pattern.totals }, h('table', { class: 'figures' },
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, S.pattern.cls), table.directions.map((dir) => h('th', { scope: 'col' }, dir || S.none)), h('th', { scope: 'col' }, S.pattern.sum))),
      h('tbody', null, table.rows.map(({ cls, counts, total }) => h('tr', null, h('th', { scope: 'row' }, format.capital(cls)), cells(counts, total, table.others > 0 && cls === table.rows[table.rows.length - 1]?.cls ? OTHERS : cls)))),
      h('tfoot', null, h('tr', null, h('th', { scope: 'row' }, S.pattern.sum), cells(table.counts, table.total)))))
  }

  private convoys(list: readonly Entry[]): HTMLElement {
    if (list.length === 0) return h('p', { class: 'none' }, S.pattern.convoysNone)
    return h('ol', { class: 'pairs' }, list.slice(0, MOST).map((entry) => this.convoy(entry)))
  }

  private convoy(entry: Entry): HTMLElement {
    const { kept } = entry
    const t0 = moved(kept, time(kept.e, 't0'))
    const group = groupOf(kept.e)
    return this.item(kept, h('b', null, `${number(kept.e, 'n') ?? 2} × ${group ? S.groups[group].toLowerCase() : ''} → ${text(kept.e, 'dir') ?? ''}`),
      `${format.shortDay(t0 ?? kept.at)} ${format.clock(t0 ?? kept.at)}${t0 === undefined ? '' : ` – ${format.clock(kept.at)}`}`,
      [kept.e.unit, text(kept.e, 'cam'), text(kept.e, 'wire')])
  }

  private returns({ pairs, crowded }: Shown['found']): HTMLElement {
    const rest = crowded > 0 ? h('p', { class: 'hint' }, S.pattern.crowded(crowded)) : null
    if (pairs.length === 0) return h('div', null, h('p', { class: 'none' }, S.pattern.returnsNone), rest)
    return h('div', null, h('ol', { class: 'pairs' }, pairs.slice(0, MOST).map((pair) => this.pair(pair))), rest)
  }

  private pair({ out, back, cls, among }: Return): HTMLElement {
    const t = S.pattern
    const head = h('b', null, `${format.capital(cls)} → ${text(out.e, 'dir') ?? ''}, ${t.after(format.span(back.at - out.at))} → ${text(back.e, 'dir') ?? ''}`)
    return this.item(back, head, `${format.shortDay(out.at)} ${format.minute(out.at)} – ${format.moment(back.at, out.at)}`,
      [out.e.unit, text(out.e, 'cam'), text(out.e, 'wire')], `${t.possibly}; ${t.among(among, cls)}`)
  }

  private item(kept: Kept, head: HTMLElement, when: string, where: (string | undefined)[], note?: string): HTMLElement {
    return h('li', null, h('button', { type: 'button', class: 'row', onclick: () => openDetail(this.app, entryOf(kept)) },
      classIcon(text(kept.e, 'cls'), groupOf(kept.e)),
      h('span', null, head, h('span', { class: 'words' }, where.filter(Boolean).join(' / ')), note ? h('em', null, note) : null),
      h('span', { class: 'when' }, when)))
  }
}
