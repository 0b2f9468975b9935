/** All that happened, the latest first, with filters that live in the address. */
import type { App } from '../../app.ts'
import { dayOf } from '../../model/calendar.ts'
import { entries, IN_THE_END, SORTS, type Entry, type Filter, type Sort } from '../../model/entries.ts'
import { toCsv, toJsonLines } from '../../share/csv.ts'
import { S } from '../../strings/index.ts'
import { nameOf, text } from '../../wire/event.ts'
import { classOf, listedClass } from '../../model/book.ts'
import { h, setText } from '../dom.ts'
import { openDetail } from '../detail.ts'
import { entryLook, entryRow } from '../entry.ts'
import { exportMenu } from '../export.ts'
import * as format from '../format.ts'
import { VirtualList, type Row } from '../list.ts'
import { hashOf, type Route } from '../route.ts'
import type { Page } from '../shell.ts'

type TimelineRow = Row & ({ heading: true; day: number; count: number } | { heading: false; entry: Entry })

interface Choices {
  units: string[]
  classes: (readonly [string, string])[]
  dirs: string[]
}

/** How long what the filters offer may be out of date. */
const CHOICES_MS = 3_000

/** What is shown unless chosen otherwise. */
const USUAL: readonly Sort[] = ['crossing', 'sighting', 'group', 'trouble']
const PERIODS = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000, month: 30 * 86_400_000 }
type Period = keyof typeof PERIODS

export class TimelinePage implements Page {
  readonly element: HTMLElement
  private readonly list: VirtualList<TimelineRow>
  private readonly count = h('span', { class: 'count', role: 'status' })
  private readonly fresh = h('button', { class: 'fresh', type: 'button', hidden: true, onclick: () => this.toTop() })
  private readonly none: HTMLElement
  private readonly sorts = new Map<Sort, HTMLButtonElement>()
  private readonly selects: Record<'unit' | 'cls' | 'dir' | 'period', HTMLSelectElement>
  private query = new URLSearchParams()
  private entries: Entry[] = []
  private shownVersion = ''
  private offered?: { choices: Choices; version: number; at: number }
  /** How many entries there were when the top was last in sight. */
  private seen = 0

  constructor(private readonly app: App) {
    const select = (key: 'unit' | 'cls' | 'dir' | 'period'): HTMLSelectElement => {
      const element = h('select', { 'aria-label': S.timeline[key], onchange: () => this.choose(key, element.value) })
      return element
    }
    this.selects = { unit: select('unit'), cls: select('cls'), dir: select('dir'), period: select('period') }
    const chips = SORTS.map((sort) => {
      const chip = h('button', { class: 'chip', type: 'button', 'aria-pressed': 'false', onclick: () => this.toggle(sort) }, S.sorts[sort])
      this.sorts.set(sort, chip)
      return chip
    })
    this.list = new VirtualList<TimelineRow>({
      label: S.timeline.list,
      heights: () => this.heights(),
      render: (row) => this.render(row),
      look: (row) => (row.heading ? `${row.count} ${format.currentZone()}` : entryLook(this.app, row.entry)),
      onScroll: (top) => {
        if (top) this.atTop()
      },
    })
    this.none = h('div', { class: 'empty', hidden: true }, h('h2', null, S.timeline.none), h('p', null, S.timeline.noneText),
      h('a', { class: 'button', href: hashOf('timeline') }, S.timeline.reset))
    const menu = exportMenu([
      { label: S.exports.entries, name: 'timeline', type: 'csv', content: () => toCsv(this.entries) },
      { label: S.exports.events, name: 'timeline', type: 'jsonl', content: () => toJsonLines(this.entries, this.app.fleet.book, this.filter(Date.now())) },
    ])
    this.element = h('div', { class: 'page timeline' },
      h('div', { class: 'filters' },
        h('h1', { class: 'for-readers' }, S.timeline.title),
        h('div', { class: 'chips', role: 'group', 'aria-label': S.timeline.show }, chips),
        h('div', { class: 'selects' }, Object.values(this.selects)),
        h('div', { class: 'summary' }, this.count, menu)),
      h('div', { class: 'list-holder' }, this.fresh, this.none, this.list.element))
  }

  enter(route: Route): void {
    this.query = route.query
    this.shownVersion = ''
    this.draw(false)
  }

  update(): void {
    this.draw(true)
  }

  private draw(keep: boolean): void {
    const { book } = this.app.fleet
    // Stills come without a new event.
    const version = `${book.version} ${this.app.stills.count} ${format.currentZone()} ${this.app.ready}`
    const period = this.query.get('period')
    if (version === this.shownVersion && period === null) return
    this.shownVersion = version
    const filter = this.filter(Date.now())
    this.entries = entries(book, filter)
    this.drawFilters(filter)
    this.list.set(rowsOf(this.entries), keep)
    this.none.hidden = this.entries.length > 0 || !this.app.ready
    this.list.element.hidden = this.entries.length === 0
    setText(this.count, this.app.ready ? S.timeline.shown(this.entries.length) : S.loading)
    if (!keep || this.list.element.scrollTop < 8) this.atTop()
    const fresh = this.entries.length - this.seen
    this.fresh.hidden = fresh <= 0
    if (fresh > 0) setText(this.fresh, `↑ ${S.timeline.fresh(fresh)}`)
  }

  private filter(now: number): Filter {
    const show = this.query.get('show')
    const sorts = show === 'all' ? SORTS : show === null ? USUAL : SORTS.filter((sort) => show.split(',').includes(sort))
    const time = (key: string): number | undefined => {
      const value = Number(this.query.get(key) ?? NaN)
      return Number.isFinite(value) ? value : undefined
    }
    const period = this.query.get('period')
    const from = period !== null && period in PERIODS ? now - PERIODS[period as Period] : time('from')
    return {
      sorts: new Set(sorts), unit: this.query.get('unit') ?? undefined, cls: this.query.get('cls') ?? undefined,
      dir: this.query.get('dir') ?? undefined, from, to: time('to'),
    }
  }

  private drawFilters(filter: Filter): void {
    for (const [sort, chip] of this.sorts) chip.setAttribute('aria-pressed', String(filter.sorts.has(sort)))
    const { units, classes, dirs } = this.choices()
    const t = S.timeline
    fill(this.selects.unit, [['', t.allUnits], ...units.map((unit) => [unit, unit] as const)], filter.unit ?? '')
    fill(this.selects.cls, [['', t.allClasses], ...classes], filter.cls ?? '')
    fill(this.selects.dir, [['', t.allDirs], ...dirs.map((dir) => [dir, dir] as const)], filter.dir ?? '')
    const period = this.query.get('period') ?? (filter.from === undefined ? '' : 'between')
    const between = filter.from !== undefined && period === 'between' ? `${format.shortDay(filter.from)} ${t.between(format.minute(filter.from), filter.to === undefined ? '' : format.minute(filter.to))}` : undefined
    fill(this.selects.period, [['', t.always], ...Object.entries(t.periods), ...(between ? [['between', between] as const] : [])], period)
  }

  /** What the filters offer: what there is. Looked up anew now and then, if there is more. */
  private choices(): Choices {
    const { book } = this.app.fleet
    if (this.offered && (this.offered.version === book.version || Date.now() - this.offered.at < CHOICES_MS)) return this.offered.choices
    const choices = this.lookUpChoices()
    this.offered = { choices, version: book.version, at: Date.now() }
    return choices
  }

  private lookUpChoices(): Choices {
    const { book, units } = this.app.fleet
    const groups = (['vehicle', 'person', 'animal'] as const).map((group) => [group, S.groupsMany[group]] as const)
    const classes = new Set<string>()
    const ends = new Set<string>()
    const dirs = new Set<string>()
    for (const kept of book.events) {
      const dir = text(kept.e, 'dir')
      if (dir) dirs.add(dir)
      if (kept.e.kind !== 'crossing' && (kept.e.kind !== 'sighting' || kept.thing?.crossings.length)) continue
      const [cls, end] = [listedClass(kept), classOf(kept)]
      classes.add(cls ?? '')
      if (end !== undefined && end !== cls) ends.add(end)
    }
    for (const group of ['', 'vehicle', 'person', 'animal']) classes.delete(group)
    const sorted = (set: Iterable<string>): string[] => [...set].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
    const found = sorted(classes).map((cls) => [cls, format.capital(cls)] as const)
    const settled = sorted(ends).map((cls) => [IN_THE_END + cls, S.timeline.inTheEnd(format.capital(cls))] as const)
    return { units: sorted(units.keys()), classes: [...groups, ...found, ...settled], dirs: sorted(dirs) }
  }

  private toggle(sort: Sort): void {
    const sorts = new Set(this.filter(Date.now()).sorts)
    if (!sorts.delete(sort)) sorts.add(sort)
    const chosen = SORTS.filter((other) => sorts.has(other))
    this.go({ show: chosen.join() === USUAL.join() ? undefined : chosen.join() || 'none' })
  }

  private choose(key: 'unit' | 'cls' | 'dir' | 'period', value: string): void {
    if (key === 'period') this.go({ period: value, from: undefined, to: undefined })
    else this.go({ [key]: value })
  }

  private go(change: Record<string, string | undefined>): void {
    location.hash = hashOf('timeline', '', { ...Object.fromEntries(this.query), ...change })
  }

  private atTop(): void {
    this.seen = this.entries.length
    this.fresh.hidden = true
  }

  private toTop(): void {
    this.list.toTop()
    this.atTop()
  }

  private heights(): { heading: number; item: number } {
    return matchMedia('(max-width: 640px)').matches ? { heading: 40, item: 84 } : { heading: 44, item: 68 }
  }

  private render(row: TimelineRow): HTMLElement {
    if (row.heading) {
      return h('li', { class: 'day' }, h('h2', null, dayTitle(row.day)), h('span', null, S.timeline.ofDay(row.count)))
    }
    const next = (entry: Entry, step: 1 | -1): Entry | undefined =>
      this.entries[this.entries.findIndex(({ kept }) => kept === entry.kept) + step]
    return entryRow(this.app, row.entry, (entry) => openDetail(this.app, entry, next))
  }
}

/** Entries with a heading for each day. */
function rowsOf(list: readonly Entry[]): TimelineRow[] {
  const rows: TimelineRow[] = []
  let heading: (TimelineRow & { heading: true }) | undefined
  for (const entry of list) {
    const { at } = entry.kept
    // The list goes back in time: a day is looked up once.
    if (!heading || at < heading.day) {
      const day = dayOf(at, format.currentZone())
      rows.push((heading = { key: `day ${day}`, heading: true, day, count: 0 }))
    }
    heading.count += 1
    rows.push({ key: nameOf(entry.kept.e), heading: false, entry })
  }
  return rows
}

function dayTitle(day: number): string {
  const today = dayOf(Date.now(), format.currentZone())
  const name = format.day(day)
  if (day === today) return `${S.timeline.today} · ${name}`
  return day === dayOf(today - 1, format.currentZone()) ? `${S.timeline.yesterday} · ${name}` : name
}

/** Gives a select its options, touching it only where they changed. */
export function fill(select: HTMLSelectElement, options: readonly (readonly [string, string])[], value: string): void {
  const look = JSON.stringify(options)
  if (select.dataset['look'] !== look) {
    select.dataset['look'] = look
    select.replaceChildren(...options.map(([key, label]) => h('option', { value: key }, label)))
  }
  if (select.value !== value) select.value = value
}
