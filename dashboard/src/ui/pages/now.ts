/** The page for a glance: every unit as a card, and what passed last. */
import type { App } from '../../app.ts'
import { HOUR_MS } from '../../model/calendar.ts'
import { latest, type Entry } from '../../model/entries.ts'
import type { View } from '../../model/fleet.ts'
import { S } from '../../strings/index.ts'
import type { Kept } from '../../model/kept.ts'
import { h, setText } from '../dom.ts'
import { openDetail } from '../detail.ts'
import { entryLook, entryRow } from '../entry.ts'
import { hashOf } from '../route.ts'
import type { Page } from '../shell.ts'
import { UnitCard } from '../unit-card.ts'

const LATEST = 12
const WHAT_PASSED = { sorts: new Set(['crossing', 'sighting', 'group'] as const) }

export class NowPage implements Page {
  readonly element: HTMLElement
  private readonly tiles = h('ul', { class: 'tiles' })
  private readonly find: HTMLInputElement
  private readonly sections = [2, 0, -1].map((kind) => new Section(kind))
  private readonly latest = h('ol', { class: 'rows plain' })
  private readonly strangers = h('p', { class: 'warn', hidden: true })
  private readonly empty = h('div', { class: 'empty' })
  private readonly cards = new Map<string, UnitCard>()
  private latestLook = ''

  constructor(private readonly app: App, private readonly connect: () => void) {
    this.find = h('input', { type: 'search', placeholder: S.now.find, 'aria-label': S.now.find, oninput: () => this.update(Date.now()) })
    this.element = h('div', { class: 'page now' },
      h('h1', { class: 'for-readers' }, S.now.title),
      this.tiles,
      h('div', { class: 'now-columns' },
        h('div', { class: 'units' }, this.find, this.strangers, this.empty, this.sections.map(({ element }) => element)),
        h('aside', { class: 'card latest', 'aria-label': S.now.latest }, h('header', null, h('h2', null, S.now.latest), h('a', { href: hashOf('timeline') }, S.now.latestAll)), this.latest)))
  }

  enter(): void {
    this.latestLook = ''
  }

  update(now: number): void {
    const views = this.app.fleet.views(now)
    const hours = crossingsByHour(this.app, now)
    this.drawTiles(views, hours)
    this.drawEmpty(views)
    const { size } = this.app.fleet.strangers
    this.strangers.hidden = size === 0
    setText(this.strangers, size === 0 ? '' : S.now.strangers(size))
    this.find.hidden = views.length < 9
    const wanted = this.find.value.trim().toLowerCase()
    const shown = views.filter(({ unit }) => wanted === '' || unit.id.toLowerCase().includes(wanted))
    for (const section of this.sections) section.begin()
    for (const view of shown) {
      let card = this.cards.get(view.unit.id)
      if (!card) this.cards.set(view.unit.id, (card = new UnitCard(this.app)))
      card.update(view, hours.get(view.unit.id) ?? NOTHING, now)
      const kind = view.severity === 2 ? 2 : view.presence.is === 'asleep' ? -1 : 0
      this.sections.find((section) => section.kind === kind)?.put(card.element)
    }
    for (const section of this.sections) section.end()
    this.drawLatest()
  }

  private drawTiles(views: readonly View[], hours: ReadonlyMap<string, number[]>): void {
    const is = (...states: string[]): number => views.filter(({ presence }) => states.includes(presence.is)).length
    let [hour, day] = [0, 0]
    for (const counts of hours.values()) {
      hour += counts[23] ?? 0
      day += counts.reduce((sum, n) => sum + n, 0)
    }
    const gone = is('silent', 'vanished', 'stopped')
    const troubled = views.filter(({ severity, presence }) => severity > 0 && presence.is === 'online').length
    const tiles: [number, string, string][] = [
      [is('online'), S.now.watching, 'good'], [gone, S.now.silent, gone > 0 ? 'bad' : ''], [troubled, S.now.troubled, troubled > 0 ? 'warn' : ''],
      [is('asleep'), S.now.asleep, ''], [hour, S.now.hour, ''], [day, S.now.day, ''],
    ]
    while (this.tiles.children.length < tiles.length) this.tiles.append(h('li', null, h('strong'), h('span')))
    tiles.forEach(([n, label, kind], i) => {
      const tile = this.tiles.children[i] as HTMLElement
      tile.className = kind
      setText(tile.firstElementChild as Element, n.toLocaleString(S.language))
      setText(tile.lastElementChild as Element, label)
    })
    this.tiles.hidden = views.length === 0
  }

  private drawEmpty(views: readonly View[]): void {
    this.empty.hidden = views.length > 0
    this.element.classList.toggle('nothing', views.length === 0)
    if (views.length > 0) return
    const off = this.app.link.is === 'off'
    const look = `${this.app.ready} ${off}`
    if (this.empty.dataset['look'] === look) return
    this.empty.dataset['look'] = look
    if (!this.app.ready) this.empty.replaceChildren(h('p', null, S.loading))
    else {
      this.empty.replaceChildren(h('h2', null, S.now.emptyTitle), h('p', null, off ? S.now.emptyOff : S.now.empty))
      if (off) this.empty.append(h('button', { class: 'main', type: 'button', onclick: this.connect }, S.connect.submit))
    }
  }

  private drawLatest(): void {
    const list = latest(this.app.fleet.book, WHAT_PASSED, LATEST)
    const look = list.map((entry) => `${entry.kept.e.unit} ${entry.kept.e.seq} ${entryLook(this.app, entry)}`).join('\n')
    if (look === this.latestLook) return
    this.latestLook = look
    const next = (entry: Entry, step: 1 | -1): Entry | undefined => list[list.findIndex(({ kept }) => kept === entry.kept) + step]
    if (list.length === 0) this.latest.replaceChildren(h('li', { class: 'none' }, S.now.latestNone))
    else this.latest.replaceChildren(...list.map((entry) => entryRow(this.app, entry, (chosen) => openDetail(this.app, chosen, next), { unit: true })))
  }
}

/** The cards of one kind of state, under a heading. */
class Section {
  readonly element: HTMLElement
  private readonly heading = h('h2')
  private readonly grid = h('div', { class: 'cards' })
  private wanted: HTMLElement[] = []

  constructor(readonly kind: number) {
    this.element = h('section', { class: 'unit-group' }, this.heading, this.grid)
  }

  begin(): void {
    this.wanted = []
  }

  put(card: HTMLElement): void {
    this.wanted.push(card)
  }

  /** Moves only what is not where it belongs, so that focus and scrolling stay. */
  end(): void {
    const title = this.kind === 2 ? S.now.attention : this.kind === 0 ? S.now.fine : S.now.quiet
    setText(this.heading, `${title} (${this.wanted.length})`)
    this.element.hidden = this.wanted.length === 0
    this.wanted.forEach((card, i) => {
      const there = this.grid.children[i]
      if (there !== card) this.grid.insertBefore(card, there ?? null)
    })
    while (this.grid.children.length > this.wanted.length) this.grid.lastElementChild?.remove()
  }
}

const NOTHING: readonly number[] = new Array<number>(24).fill(0)

/** Crossings of each unit in each of the last 24 hours, the last one last. */
function crossingsByHour({ fleet: { book } }: App, now: number): Map<string, number[]> {
  const map = new Map<string, number[]>()
  for (let i = book.placeOf(now - 24 * HOUR_MS); i < book.events.length; i++) {
    const { e, at } = book.events[i] as Kept
    if (e.kind !== 'crossing' || at > now) continue
    let counts = map.get(e.unit)
    if (!counts) map.set(e.unit, (counts = [...NOTHING]))
    const hour = 23 - Math.floor((now - at) / HOUR_MS)
    counts[hour] = (counts[hour] ?? 0) + 1
  }
  return map
}
