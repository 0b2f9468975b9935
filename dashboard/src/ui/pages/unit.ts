/** One unit from close by: its condition, cameras, what it watched, gaps, commands. */
import type { App } from '../../app.ts'
import type { Unit, View } from '../../model/fleet.ts'
import { latest } from '../../model/entries.ts'
import { S } from '../../strings/index.ts'
import { card, h, setText } from '../dom.ts'
import { openDetail } from '../detail.ts'
import { entryLook, entryRow } from '../entry.ts'
import * as format from '../format.ts'
import { icon } from '../icons.ts'
import { hashOf, type Route } from '../route.ts'
import type { Page } from '../shell.ts'
import { CommandPanel } from '../unit/commands.ts'
import { CamerasPanel, watchedPanel } from '../unit/cameras.ts'
import { healthPanel } from '../unit/health.ts'
import { numbersPanel } from '../unit/numbers.ts'
import { placePanel } from '../unit/place.ts'
import { conditionFacts, factElement, stateIcon, stateText, troubleText, type Fact } from '../unit-card.ts'
import { fill } from './timeline.ts'

const LAST = 8

export class UnitPage implements Page {
  readonly element: HTMLElement
  private readonly choose: HTMLSelectElement
  private readonly state = h('p', { class: 'state' })
  private readonly troubles = h('ul', { class: 'troubles' })
  private readonly body = h('div', { class: 'unit-body' })
  private readonly empty = h('div', { class: 'empty' }, h('h2'))
  /** The parts of the page: each is drawn anew when its look changes. */
  private readonly parts = new Map<string, { holder: HTMLElement; look: string }>()
  private readonly commands: CommandPanel
  private readonly cameras: CamerasPanel
  private id = ''

  constructor(private readonly app: App) {
    this.choose = h('select', { 'aria-label': S.unit.choose, onchange: () => (location.hash = hashOf('unit', this.choose.value)) })
    this.commands = new CommandPanel(app)
    this.cameras = new CamerasPanel(app)
    this.element = h('div', { class: 'page unit' },
      h('header', { class: 'unit-head' }, h('h1', { class: 'for-readers' }, S.pages.unit), this.choose, this.state), this.troubles, this.empty, this.body)
    for (const name of ['condition', 'recent', 'cameras', 'watched', 'place', 'health', 'numbers', 'commands']) {
      const holder = h('div', { class: `part ${name}` })
      this.parts.set(name, { holder, look: '' })
      this.body.append(holder)
    }
    this.parts.get('cameras')?.holder.append(this.cameras.element)
    this.parts.get('commands')?.holder.append(this.commands.element)
  }

  enter(route: Route): void {
    this.id = route.what
    for (const part of this.parts.values()) part.look = ''
  }

  update(now: number): void {
    const { fleet } = this.app
    const views = fleet.views(now)
    const view = this.id === '' ? views[0] : views.find(({ unit }) => unit.id === this.id)
    const ids = [...fleet.units.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
    fill(this.choose, ids.map((id) => [id, id] as const), view?.unit.id ?? '')
    this.choose.hidden = ids.length === 0
    this.body.hidden = view === undefined
    this.empty.hidden = view !== undefined
    this.state.hidden = view === undefined
    if (!view) {
      this.troubles.replaceChildren()
      setText(this.empty.firstElementChild as Element, this.app.ready ? (ids.length > 0 ? S.unit.unknownUnit : S.unit.none) : S.loading)
      return
    }
    this.app.loadHealth(view.unit.id)
    this.drawHead(view, now)
    this.cameras.update(view.unit, now)
    this.drawParts(view, now)
    this.commands.update(view.unit.id)
  }

  private drawHead(view: View, now: number): void {
    this.element.dataset['state'] = view.presence.is
    this.element.dataset['severity'] = String(view.severity)
    const text = stateText(view.presence, now)
    if (this.state.textContent !== text) this.state.replaceChildren(icon(stateIcon(view.presence)), text)
    const words = view.troubles.map(troubleText)
    if (this.troubles.dataset['look'] !== words.join('\n')) {
      this.troubles.dataset['look'] = words.join('\n')
      this.troubles.replaceChildren(...words.map((word) => h('li', null, icon('alert'), word)))
    }
  }

  private drawParts({ unit, presence }: View, now: number): void {
    const { app } = this
    const { book } = app.fleet
    const zone = format.currentZone()
    const minute = Math.floor(now / 60_000)
    const condition = unit.condition
    this.part('condition', `${condition?.t} ${presence.is} ${zone}`, () => {
      const old = condition && presence.is !== 'online' ? S.now.asOf(format.moment(condition.t, now)) : ''
      return card(S.unit.condition, old || undefined, h('dl', { class: 'facts' }, this.allFacts(unit).map(factElement)))
    })
    this.part('watched', `${book.version} ${zone} ${minute}`, () => watchedPanel(app, unit.id, now))
    this.part('health', `${unit.history.length} ${condition?.t} ${zone}`, () => healthPanel(unit))
    this.part('place', `${book.version} ${this.cameras.shown} ${zone}`, () => placePanel(app, unit.id))
    const asking = app.asking.get(unit.id)
    this.part('numbers', `${book.version} ${condition?.t} ${unit.heard.status?.low} ${asking?.left.length} ${app.link.is}`, () => numbersPanel(app, unit.id))
    const last = latest(book, { sorts: new Set(['crossing', 'sighting', 'group', 'trouble']), unit: unit.id }, LAST)
    this.part('recent', last.map((entry) => `${entry.kept.e.log} ${entry.kept.e.seq} ${entryLook(app, entry)}`).join('\n'), () =>
      h('section', { class: 'card latest' },
        h('header', null, h('h2', null, S.unit.recent), h('a', { href: hashOf('timeline', '', { unit: unit.id }) }, S.unit.all)),
        last.length === 0 ? h('p', { class: 'none' }, S.now.latestNone)
          : h('ol', { class: 'rows plain' }, last.map((entry) => entryRow(app, entry, (chosen) => openDetail(app, chosen), { unit: false })))))
  }

  /** Draws a part if it would look different; not while the focus is in it. */
  private part(name: string, look: string, draw: () => HTMLElement): void {
    const part = this.parts.get(name)
    const full = `${this.id} ${look}`
    if (!part || part.look === full) return
    if (part.look !== '' && part.holder.contains(document.activeElement)) return
    part.look = full
    part.holder.replaceChildren(draw())
  }

  private allFacts({ condition: c, heard }: Unit): Fact[] {
    const f = S.facts
    const list = conditionFacts(c)
    const add = (name: string, value: string | undefined): void => {
      if (value !== undefined) list.push([name, value])
    }
    add(f.up, c?.upS === undefined ? undefined : format.span(c.upS * 1000))
    add(f.cpu, c?.cpuPct === undefined ? undefined : `${Math.round(c.cpuPct)} %`)
    add(f.memory, c?.rssKb === undefined ? undefined : format.bytes(c.rssKb * 1000))
    add(f.delivered, c?.delivered?.toLocaleString(S.language))
    add(f.unheard, c?.unheard?.toLocaleString(S.language))
    add(f.failures, c?.failures?.toLocaleString(S.language))
    add(f.version, c?.version ?? heard.status?.version)
    return list
  }
}
