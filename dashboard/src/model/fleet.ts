/**
 * All units this browser knows: their status, health and history, the book of
 * their events, their stills and their replies. Messages go in, and the time;
 * nothing here touches the network, the screen or the disk.
 */
import { count } from './numbers.ts'
import { Book } from './book.ts'
import { conditionOf, type Condition } from './health.ts'
import { presence, type Heard, type Presence } from './presence.ts'
import { severity, troubles, type Severity, type Trouble } from './trouble.ts'
import type { Kept } from './kept.ts'
import type { WireEvent } from '../wire/event.ts'
import type { Health, Status } from '../wire/decode.ts'

/** How many health messages are kept of a unit: in memory a day at one a minute, on disk more than the week that is wanted. */
export const HEALTH_KEPT = 1500
/** Of each stretch of this length the last one goes to the disk. */
export const HEALTH_STEP_MS = 600_000

/** Units that the page can show. */
export const MAX_UNITS = 1_000
/** Names of further ones that are told apart, to count them. */
const MAX_STRANGERS = 10_000

export interface Unit {
  readonly id: string
  heard: Heard
  condition?: Condition
  /** The earliest first. */
  history: Condition[]
  /** The event of this unit that happened last. */
  last?: Kept
}

/** A unit at one moment, as the pages show it. */
export interface View {
  unit: Unit
  presence: Presence
  troubles: Trouble[]
  severity: Severity
  /** Numbers missing at or below `low`, but for those that the unit says it lost. */
  missing: number
}

export class Fleet {
  readonly book = new Book()
  readonly units = new Map<string, Unit>()

  /** Units that have no place here. */
  readonly strangers = new Set<string>()

  /** Whether a unit is known, or there is room for one more; else it is counted. */
  admits(id: string): boolean {
    if (this.units.has(id) || this.units.size < MAX_UNITS) return true
    if (this.strangers.size < MAX_STRANGERS) this.strangers.add(id)
    return false
  }

  unit(id: string): Unit {
    let unit = this.units.get(id)
    if (!unit) this.units.set(id, (unit = { id, heard: {}, history: [] }))
    return unit
  }

  takeStatus(id: string, status: Status): void {
    this.unit(id).heard.status = status
    this.book.journal(id, status.log).tell(status.seq, status.low)
  }

  /** A `health`; `rx` when it arrived live, absent when the broker or the store had kept it. `false`: it says nothing new. */
  takeHealth(id: string, health: Health, rx?: number): boolean {
    const unit = this.unit(id)
    const { heard } = unit
    if (rx !== undefined) {
      heard.liveRx = rx
      heard.aheadMs = rx - health.t
    }
    if (heard.healthT !== undefined && health.t > heard.healthT && rx !== undefined) {
      const between = health.t - heard.healthT
      // The shortest of late: one that was lost makes it look longer.
      heard.intervalMs = Math.min(between, heard.intervalMs === undefined ? Infinity : heard.intervalMs * 1.5)
    }
    if (heard.healthT !== undefined && health.t <= heard.healthT) return false
    heard.healthT = health.t
    unit.condition = conditionOf(health)
    unit.history.push(unit.condition)
    if (unit.history.length > HEALTH_KEPT) unit.history.splice(0, unit.history.length - HEALTH_KEPT)
    if (health.log !== undefined) this.book.journal(id, health.log).tell(health.seq ?? 0, health.low ?? 0)
    return true
  }

  /** What the store held of a unit's health: goes before what is known already. */
  restoreHealth(id: string, list: readonly Health[]): void {
    const unit = this.unit(id)
    const first = unit.history[0]?.t ?? Infinity
    const earlier = list.filter(({ t }) => t < first).map(conditionOf)
    unit.history = [...earlier, ...unit.history].slice(-HEALTH_KEPT)
  }

  /** An event; what is kept of it, or nothing if it is a copy. */
  takeEvent(e: WireEvent, rx: number): Kept | undefined {
    this.unit(e.unit)
    const kept = this.book.add(e, rx)
    if (kept) this.note(kept)
    return kept
  }

  /** A part of what the store held from before; `settle` after the last one. */
  restore(list: readonly { e: WireEvent; rx: number }[]): void {
    this.book.addAll(list)
    for (const { e } of list) this.unit(e.unit)
  }

  /** Finds each unit's last event anew, after many came or moved. */
  settle(): void {
    for (const kept of this.book.events) this.note(kept)
  }

  /** Numbers missing of a unit, over all its journals. */
  missing(id: string): number {
    let sum = 0
    for (const journal of this.book.journalsOf(id).values()) sum += count(journal.gaps().gaps)
    return sum
  }

  view(unit: Unit, now: number): View {
    const there = presence(unit.heard, now)
    const missing = this.missing(unit.id)
    const list = troubles(there, unit.condition, missing)
    return { unit, presence: there, troubles: list, severity: severity(list), missing }
  }

  /** All units, those that need somebody first, then by name. */
  views(now: number): View[] {
    return [...this.units.values()]
      .map((unit) => this.view(unit, now))
      .sort((a, b) => b.severity - a.severity || a.unit.id.localeCompare(b.unit.id, undefined, { numeric: true }))
  }

  private note(kept: Kept): void {
    const unit = this.unit(kept.e.unit)
    if (kept.at <= kept.rx) unit.heard.eventAt = Math.max(unit.heard.eventAt ?? 0, kept.at)
    if (!NEWS.has(kept.e.kind)) return
    if (!unit.last || kept.at >= unit.last.at) unit.last = kept
  }
}

/** Kinds that tell what happened out there, not how the unit is. */
const NEWS = new Set(['sighting', 'crossing', 'zone', 'tamper'])
