/**
 * Every event this browser holds, once, in the order in which it happened.
 *
 * Events are named by (`unit`, `log`, `seq`): a copy is dropped, whenever it
 * comes. Late ones are put where they belong. What belongs to one object or one
 * group is joined by its id. `clock` events move what came before them.
 */
import type { Convoy, Files, Kept, Thing } from './kept.ts'
import { groupOf, nameOf, number, text, texts, time, type WireEvent } from '../wire/event.ts'
import { clampTime } from './calendar.ts'
import { ClockRanges } from './clock.ts'
import { Journal } from './numbers.ts'
import { surplus } from './quota.ts'

/** Kinds whose `id` is that of an object. */
const ABOUT_THINGS = new Set(['sighting', 'crossing', 'zone'])

export class Book {
  /** In the order of `at`, the earliest first. */
  readonly events: Kept[] = []
  /** Counts changes, for those who keep something derived from the book. */
  version = 0
  private readonly things = new Map<string, Thing>()
  private readonly convoys = new Map<string, Convoy>()
  private readonly files = new Map<string, Files>()
  private readonly names = new Map<string, Kept>()
  private readonly journals = new Map<string, Map<string, Journal>>()
  private readonly clocks = new Map<string, ClockRanges>()

  /** Takes one event; what is kept of it, or nothing if it is a copy. */
  add(e: WireEvent, rx: number): Kept | undefined {
    const kept = this.take(e, rx)
    if (!kept) return undefined
    const last = this.events[this.events.length - 1]
    if (last === undefined || last.at <= kept.at) this.events.push(kept)
    else this.events.splice(this.placeOf(kept.at), 0, kept)
    if (e.kind === 'clock') this.retime(e)
    return kept
  }

  /** Takes many at once, as from the store: sorts them once. */
  addAll(list: readonly { e: WireEvent; rx: number }[]): void {
    let clock = false
    for (const { e, rx } of list) {
      const kept = this.take(e, rx)
      if (!kept) continue
      this.events.push(kept)
      if (e.kind === 'clock') {
        this.clockOf(e).take(e)
        clock = true
      }
    }
    if (clock) for (const kept of this.events) this.correct(kept)
    this.sort()
  }

  /**
   * Lets go of the earliest events of the units with most of them, beyond `most`. Their numbers stay known: what
   * was here is no gap, and a copy of it nothing new.
   */
  trim(most: number): void {
    if (this.events.length <= most) return
    const counts = new Map<string, number>()
    for (const { e } of this.events) counts.set(e.unit, (counts.get(e.unit) ?? 0) + 1)
    const going = surplus(counts, most)
    const [gone, stay]: [Kept[], Kept[]] = [[], []]
    for (const kept of this.events) {
      const left = going.get(kept.e.unit) ?? 0
      if (left > 0) going.set(kept.e.unit, left - 1)
      ;(left > 0 ? gone : stay).push(kept)
    }
    this.events.length = 0
    for (const kept of stay) this.events.push(kept)
    for (const { e, thing } of gone) {
      this.names.delete(nameOf(e))
      const last = thing && (thing.end ?? thing.crossings[thing.crossings.length - 1] ?? thing.start)
      if (last?.e === e) this.things.delete(`${e.unit} ${text(e, 'id') ?? ''}`)
      if (e.kind === 'group') this.convoys.delete(`${e.unit} ${text(e, 'gid') ?? ''}`)
      if (e.kind === 'kept') for (const id of shownIn(e)) this.files.delete(`${e.unit} ${id}`)
    }
    if (gone.length > 0) this.version += 1
  }

  get(name: string): Kept | undefined {
    return this.names.get(name)
  }

  /** What a unit keeps of an object, as far as it said so. */
  filesOf(unit: string, id: string): Files | undefined {
    return this.files.get(`${unit} ${id}`)
  }

  /** The journals of a unit, the one known longest first. */
  journalsOf(unit: string): ReadonlyMap<string, Journal> {
    return this.journals.get(unit) ?? new Map<string, Journal>()
  }

  journal(unit: string, log: string): Journal {
    let logs = this.journals.get(unit)
    if (!logs) this.journals.set(unit, (logs = new Map()))
    let journal = logs.get(log)
    if (!journal) logs.set(log, (journal = new Journal()))
    return journal
  }

  /** The index of the first event that happened after `at`. */
  placeOf(at: number): number {
    let low = 0
    let high = this.events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.events[middle] as Kept).at <= at) low = middle + 1
      else high = middle
    }
    return low
  }

  private take(e: WireEvent, rx: number): Kept | undefined {
    const name = nameOf(e)
    const journal = this.journal(e.unit, e.log)
    if (!journal.arrived.add(e.seq)) return undefined
    const t = time(e, 't') ?? rx
    const kept: Kept = { e, t, rx, at: t, tu: number(e, 'tu') ?? null, moved: false }
    this.names.set(name, kept)
    journal.tell(e.seq, 0)
    if (e.kind === 'lost') {
      const [from, to] = [number(e, 'from'), number(e, 'to')]
      if (from !== undefined && to !== undefined && from >= 1) journal.tellLost(from, to)
    }
    this.correct(kept)
    this.join(kept)
    this.version += 1
    return kept
  }

  /** Joins an event with the others about the same object or group. */
  private join(kept: Kept): void {
    const { e } = kept
    const thingId = text(e, 'id')
    if (thingId && ABOUT_THINGS.has(e.kind)) {
      // A unit can only speak of its own objects, whatever id it names.
      const key = `${e.unit} ${thingId}`
      let thing = this.things.get(key)
      if (!thing) this.things.set(key, (thing = { crossings: [] }))
      kept.thing = thing
      if (e.kind === 'crossing') thing.crossings.push(kept)
      else if (e.kind === 'sighting' && e['phase'] === 'end') thing.end = kept
      else if (e.kind === 'sighting') thing.start = kept
    }
    const convoyId = text(e, 'gid')
    if (convoyId && e.kind === 'group') {
      const key = `${e.unit} ${convoyId}`
      let convoy = this.convoys.get(key)
      if (!convoy) this.convoys.set(key, (convoy = {}))
      kept.convoy = convoy
      if (e['phase'] === 'end') convoy.end = kept
      else convoy.start = kept
    }
    if (e.kind === 'kept') this.file(kept)
  }

  private file(kept: Kept): void {
    const { e } = kept
    for (const id of shownIn(e)) {
      const key = `${e.unit} ${id}`
      let files = this.files.get(key)
      if (!files) this.files.set(key, (files = { clips: [] }))
      if (e['what'] === 'still') files.full = kept
      else files.clips.push(kept)
    }
  }

  private clockOf(e: WireEvent): ClockRanges {
    const key = `${e.unit} ${e.log}`
    let clock = this.clocks.get(key)
    if (!clock) this.clocks.set(key, (clock = new ClockRanges()))
    return clock
  }

  /** A `clock` event came: moves what it speaks of. */
  private retime(e: WireEvent): void {
    if (this.clockOf(e).take(e).length === 0) return
    for (const kept of this.events) {
      if (kept.e.unit === e.unit && kept.e.log === e.log) this.correct(kept)
    }
    this.sort()
  }

  private correct(kept: Kept): void {
    const correction = this.clocks.get(`${kept.e.unit} ${kept.e.log}`)?.of(kept.e.seq)
    if (!correction) return
    kept.at = clampTime(kept.t + correction.offsetMs)
    kept.tu = correction.tu
    kept.moved = true
  }

  private sort(): void {
    this.events.sort((a, b) => a.at - b.at || a.e.seq - b.e.seq)
  }
}

/** More sightings than one clip shows. */
const MOST_SHOWN = 200

/** The objects that a kept file shows. */
function shownIn(e: WireEvent): string[] {
  if (e['what'] === 'clip') return texts(e, 'of').slice(0, MOST_SHOWN)
  const id = text(e, 'id')
  return e['what'] === 'still' && id !== undefined ? [id] : []
}

/** The fine class that the object was found to be in the end, else as reported. */
export function classOf(kept: Kept): string | undefined {
  return endClassOf(kept) ?? text(kept.e, 'cls') ?? groupOf(kept.e)
}

/** The fine class that the sighting's end named. */
export function endClassOf({ thing }: Kept): string | undefined {
  return thing?.end && text(thing.end.e, 'cls')
}

/**
 * The class as known when it happened, as `tawny events` and `tawny report` have
 * it: what was written down then, and is never corrected. Crossings are counted
 * by it.
 */
export function classThen({ e }: Kept): string {
  return text(e, 'cls') ?? groupOf(e) ?? '?'
}

/** The class by which an event is listed: crossings as they are counted. */
export function listedClass(kept: Kept): string | undefined {
  return kept.e.kind === 'crossing' ? classThen(kept) : classOf(kept)
}

/** By how much other times in a moved event (`from`, `to`, `t0`) move with it. */
export function moved(kept: Kept, at: number | undefined): number | undefined {
  return at === undefined ? undefined : clampTime(at + (kept.at - kept.t))
}
