/** A unit at a glance. Made once, then only what changed is written. */
import type { App } from '../app.ts'
import type { View } from '../model/fleet.ts'
import type { Condition } from '../model/health.ts'
import type { Presence } from '../model/presence.ts'
import { isOpening, type Trouble } from '../model/trouble.ts'
import { entryOf } from '../model/entries.ts'
import { S } from '../strings/index.ts'
import { h, setText } from './dom.ts'
import * as format from './format.ts'
import { icon } from './icons.ts'
import { hashOf } from './route.ts'
import { spark } from './chart/spark.ts'
import { thumb, thumbKey } from './thumb.ts'
import { headlineElement } from './words.ts'

export class UnitCard {
  readonly element: HTMLElement
  private readonly name = h('a', { class: 'unit-name' })
  private readonly state = h('span', { class: 'state' })
  private readonly last = h('div', { class: 'last' })
  private readonly age = h('span', { class: 'age' })
  private readonly bars = h('div', { class: 'bars' })
  private readonly facts = h('dl', { class: 'facts' })
  private readonly troubles = h('ul', { class: 'troubles' })
  private readonly looks = new Map<string, string>()

  constructor(private readonly app: App) {
    this.element = h('article', { class: 'card unit-card' },
      h('header', null, h('h3', null, this.name), this.state), this.troubles, this.last, this.bars, this.facts)
  }

  update(view: View, hours: readonly number[], now: number): void {
    const { unit, presence } = view
    const { element } = this
    element.dataset['state'] = presence.is
    element.dataset['severity'] = String(view.severity)
    element.dataset['unit'] = unit.id
    setText(this.name, unit.id)
    this.name.href = hashOf('unit', unit.id)
    this.when('state', presence.is, () => this.state.replaceChildren(icon(stateIcon(presence)), h('span')))
    setText(this.state.lastElementChild as Element, stateText(presence, now))
    const words = view.troubles.map(troubleText)
    this.when('troubles', words.join('\n'), () => this.troubles.replaceChildren(...words.map((word) => h('li', null, icon('alert'), word))))
    this.drawLast(view, now)
    this.when('bars', hours.join(), () => {
      const sum = hours.reduce((total, n) => total + n, 0)
      this.bars.replaceChildren(spark(hours, S.now.last24(sum)), h('span', { 'aria-hidden': 'true' }, S.now.last24(sum)))
    })
    const facts = conditionFacts(unit.condition)
    this.when('facts', JSON.stringify(facts), () => this.facts.replaceChildren(...facts.map(factElement)))
    const old = unit.condition && presence.is !== 'online' ? S.now.asOf(format.moment(unit.condition.t, now)) : ''
    this.facts.dataset['old'] = old
  }

  private drawLast({ unit }: View, now: number): void {
    // What it did says more than that it was there.
    const last = unit.last?.thing?.crossings.at(-1) ?? unit.last
    const look = last ? `${last.e.log} ${last.e.seq} ${thumbKey(this.app, last)}` : ''
    this.when('last', look, () => {
      if (!last) return this.last.replaceChildren(h('p', { class: 'none' }, S.now.noEvent))
      this.last.replaceChildren(thumb(this.app, last), h('p', null, headlineElement(entryOf(last)), this.age))
    })
    if (last) setText(this.age, `${format.ago(last.at, now)} · ${format.moment(last.at, now)}`)
  }

  /** Draws a part if what it shows has changed. */
  private when(part: string, look: string, draw: () => void): void {
    if (this.looks.get(part) === look) return
    this.looks.set(part, look)
    draw()
  }
}

export function stateIcon({ is }: Presence): string {
  if (is === 'online') return 'check'
  if (is === 'asleep') return 'asleep'
  return is === 'unknown' ? 'now' : 'silent'
}

export function stateText(presence: Presence, now: number): string {
  const word = S.presence[presence.is]
  return 'since' in presence ? S.presence.since(word, format.span(now - presence.since)) : word
}

export function troubleText(trouble: Trouble): string {
  const text = S.trouble
  switch (trouble.is) {
    case 'silent': return text.silent
    case 'vanished': return text.vanished
    case 'stopped': return text.stopped
    case 'camera': return text.camera(trouble.cam)
    case 'journal': return text.journal(trouble.why)
    case 'hot': return text.hot(format.celsius(trouble.celsius))
    case 'disk': return text.disk(format.bytes(trouble.freeMb * 1e6))
    case 'battery': return text.battery(trouble.pct)
    case 'queue': return text.queue(trouble.n)
    case 'clock': return text.clock
    case 'paused': return text.paused(format.minute(trouble.until))
    case 'gaps': return text.gaps(trouble.n)
  }
}

/** A fact, and whether it is one to worry about. */
export type Fact = [name: string, value: string, kind?: 'warn' | 'bad']

/** What the health message tells, in the order of the card. */
export function conditionFacts(condition: Condition | undefined): Fact[] {
  if (!condition) return []
  const f = S.facts
  const c = condition
  const list: Fact[] = []
  const clock = c.clockTs === undefined ? undefined : c.clockTs === 'none' ? S.clock['unknown'] : `${S.clock[c.clockTs] ?? c.clockTs} ${c.clockTuMs === undefined ? '' : format.uncertainty(c.clockTuMs)}`
  if (clock) list.push([f.clock, clock, c.clockTs === 'none' ? 'warn' : undefined])
  if (c.supplyV !== undefined || c.batteryPct !== undefined) {
    const words = [c.batteryPct === undefined ? '' : `${Math.round(c.batteryPct)} %`, c.supplyV === undefined ? '' : `${c.supplyV.toFixed(1)} V`]
    list.push([f.supply, words.filter(Boolean).join(' · '), (c.batteryPct ?? 100) < 20 ? 'warn' : undefined])
  }
  if (c.tempC !== undefined) list.push([f.temperature, format.celsius(c.tempC), c.tempC >= 78 ? 'warn' : undefined])
  if (c.diskFreeMb !== undefined) list.push([f.disk, format.bytes(c.diskFreeMb * 1e6), c.diskFreeMb < 500 ? 'warn' : undefined])
  if (c.queued !== undefined) list.push([f.queue, f.events(c.queued), c.queued > 50 ? 'warn' : undefined])
  if (c.todayBytes !== undefined) list.push([f.uplink, format.bytes(c.todayBytes)])
  if (c.cameras.length > 0) {
    const up = c.cameras.filter((camera) => camera.up !== false).length
    list.push([f.cameras, f.camerasUp(up, c.cameras.length), up < c.cameras.length && !isOpening(c) ? 'bad' : undefined])
  }
  return list
}

export function factElement([name, value, kind]: Fact): HTMLElement {
  return h('div', { class: kind ?? '' }, h('dt', null, name), h('dd', null, value))
}
