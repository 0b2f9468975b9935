/**
 * Files that units are asked for, and what became of it. A unit is asked by a
 * signed command; its reply announces the file, then the parts come:
 *
 *   asking ──reply──► coming ──all there──► checking ──► done
 *     │  ▲              │                       └──────► failed
 *     │  └──to go on────┤ the connection broke, a part is missing
 *     └► refused        ▼
 *                     waiting
 *
 * What is there already is not asked for again: a new command names the offset
 * to go on from, and the checksum in its reply tells whether the file is still
 * the same. A picture of now has no rest to ask for: it is taken anew.
 *
 * Bounds: MOST_RUNNING files at a time, each of `MAX_FILE_BYTES`; MOST_HELD_BYTES
 * in finished ones, of which the oldest goes first; MOST_EARLY parts that
 * overtook their reply. Nothing here is kept on the disk.
 */
import { commandId, type Sent } from '../command/command.ts'
import type { Reply } from '../wire/decode.ts'
import { beginsLike, fileOf, MAX_FILE_BYTES, type Announced } from '../wire/file.ts'
import { Assembly, MAX_PART_BYTES } from './assembly.ts'

/** What is wanted, as the command says it. */
export type Wanted =
  /** A sighting's still: the small one, or at full size. */
  | { do: 'still'; of: string; full?: true }
  /** What a camera sees now. */
  | { do: 'still'; cam: string; draw: boolean; width: number }
  /** A clip, by its own id. */
  | { do: 'clip'; of: string }

export type FetchState = 'asking' | 'coming' | 'waiting' | 'checking' | 'done' | 'refused' | 'failed'

/** Why it failed here, apart from what the unit or the broker says in words. */
export type Failure = 'unreadable' | 'unexpected' | 'tooLarge' | 'damaged' | 'gaveUp' | 'tooMany' | 'notSent'

export interface Fetch {
  readonly unit: string
  readonly wanted: Wanted
  /** The command under way: its answer and its parts are awaited. */
  id: string
  state: FetchState
  /** Of a `waiting` one: for the connection, or until a busy unit is asked again. */
  until?: number
  /** Of a `refused` one: the unit's word for it. */
  refused?: string
  failure?: Failure
  /** What unit or broker say about it. */
  why?: string
  assembly?: Assembly
  /** Parts that came before the reply. */
  early: { offset: number; part: Uint8Array }[]
  /** When it was asked for, when the last answer or new part came, when it was done. */
  askedAt: number
  heardAt: number
  doneAt?: number
  /** The part with the file's last byte came at this time, and something before it is missing. */
  endAt?: number
  /** The unit connected anew at this time, and has not answered yet. */
  backAt?: number
  /** How often it was asked for since something new came. */
  tries: number
  /** The finished file, to be shown. */
  blob?: Blob
  url?: string
}

export const MOST_RUNNING = 3
export const MOST_HELD_BYTES = 128 * 1024 * 1024
export const MOST_HELD = 40
const MOST_EARLY = 256
const MOST_TRIES = 6
/** How long a busy unit is left alone. */
export const BUSY_MS = 10_000
/** A unit that is back answers within this time, or has not got the command. */
export const BACK_MS = 10_000
/** Parts may overtake each other for so long. */
export const LATE_MS = 3_000

export interface FetchesOptions {
  send: (unit: string, what: string, further: Record<string, unknown>, id: string) => Promise<Sent>
  /** Listens to the parts that a command brings; fulfilled when the broker has heard. */
  listen: (unit: string, id: string) => Promise<void>
  unlisten: (unit: string, id: string) => void
  online: () => boolean
  sha256: (bytes: Uint8Array) => Promise<string>
  /** A file is there, and right. */
  onDone: (fetch: Fetch, bytes: Uint8Array) => void
  onChange: () => void
}

const RUNNING: ReadonlySet<FetchState> = new Set(['asking', 'coming', 'waiting', 'checking'] as const)

export function isRunning({ state }: Fetch): boolean {
  return RUNNING.has(state)
}

export class Fetches {
  /** One for each thing wanted, the latest. */
  private readonly all = new Map<string, Fetch>()
  /** Commands whose parts the broker may still hold for us, because the connection broke. */
  private stale: { unit: string; id: string }[] = []

  constructor(private readonly options: FetchesOptions) {}

  /** What became of it, if it was asked for. */
  of(unit: string, wanted: Wanted): Fetch | undefined {
    return this.all.get(nameOf(unit, wanted))
  }

  /** What a camera saw when it was last asked, with or without lines. */
  lookOf(unit: string, cam: string): Fetch | undefined {
    return this.all.get(nameOf(unit, { do: 'still', cam, draw: false, width: 0 }))
  }

  /** Asks for a file, unless it is already coming. */
  start(unit: string, wanted: Wanted, now: number): Fetch {
    const name = nameOf(unit, wanted)
    const old = this.all.get(name)
    if (old && isRunning(old)) return old
    if (old) this.letGo(name, old)
    const fetch: Fetch = { unit, wanted, id: '', state: 'asking', early: [], askedAt: now, heardAt: now, tries: 0 }
    this.all.set(name, fetch)
    const running = [...this.all.values()].filter(isRunning).length
    if (running > MOST_RUNNING) this.fail(fetch, 'tooMany')
    else void this.ask(fetch, now)
    return fetch
  }

  /** Asks again for what is missing. */
  async goOn(fetch: Fetch, now: number): Promise<void> {
    if (isRunning(fetch) && fetch.state !== 'checking') await this.ask(fetch, now)
  }

  /** No more of it is wanted. A unit to whose parts nobody listens stops sending them. */
  cancel(fetch: Fetch): void {
    for (const [name, other] of this.all) if (other === fetch) this.letGo(name, fetch)
    this.options.onChange()
  }

  /** Nothing is wanted any more: another broker, or none. */
  cancelAll(): void {
    for (const [name, fetch] of this.all) if (isRunning(fetch)) this.letGo(name, fetch)
  }

  /** The reply to a command. */
  answer(unit: string, id: string, reply: Reply, now: number): void {
    const fetch = this.awaiting(unit, id)
    if (!fetch || fetch.state === 'coming') return
    fetch.heardAt = now
    if (!reply.ok) return this.refuse(fetch, reply, now)
    // A command that the unit did before it was started again: it knows no more of it.
    if (reply.raw['repeated'] === true) return void this.ask(fetch, now)
    const file = fileOf(reply)
    if (!file) return this.fail(fetch, 'unreadable')
    if (file.type !== (fetch.wanted.do === 'clip' ? 'video/mp4' : 'image/jpeg')) return this.fail(fetch, 'unexpected')
    if (file.bytes > MAX_FILE_BYTES[file.type]) return this.fail(fetch, 'tooLarge')
    this.begin(fetch, file, now)
  }

  /** A part of a file. Whether it is one that was asked for, and makes sense. */
  part(unit: string, id: string, offset: number, part: Uint8Array, now: number): boolean {
    const fetch = this.awaiting(unit, id)
    if (!fetch || part.length > MAX_PART_BYTES) return false
    const { assembly } = fetch
    if (fetch.state !== 'coming' || !assembly) {
      if (fetch.early.length < MOST_EARLY) fetch.early.push({ offset, part })
      return true
    }
    const is = assembly.add(offset, part)
    if (is === 'bad') return false
    if (is === 'new') {
      fetch.heardAt = now
      fetch.tries = 0
    }
    if (assembly.complete) void this.finish(fetch, assembly, now)
    else if (offset + part.length === assembly.file.bytes) fetch.endAt = now
    return true
  }

  /** The connection is there, or not any more. */
  link(online: boolean, now: number): void {
    if (online) for (const { unit, id } of this.stale.splice(0)) this.options.unlisten(unit, id)
    for (const fetch of this.all.values()) {
      if (!online && (fetch.state === 'asking' || fetch.state === 'coming')) this.wait(fetch)
      else if (online && fetch.state === 'waiting' && fetch.until === undefined) void this.ask(fetch, now)
    }
  }

  /** A unit has connected anew: what it was sending it has given up. */
  unitBack(unit: string, now: number): void {
    for (const fetch of this.all.values()) {
      if (fetch.unit !== unit) continue
      if (fetch.state === 'coming') void this.ask(fetch, now)
      // The broker may have kept the command for it.
      else if (fetch.state === 'asking') fetch.backAt ??= now
    }
  }

  /** To be called every second or so. */
  tick(now: number): void {
    for (const fetch of this.all.values()) {
      const missing = fetch.state === 'coming' && fetch.endAt !== undefined && now - Math.max(fetch.endAt, fetch.heardAt) > LATE_MS
      const rested = fetch.state === 'waiting' && fetch.until !== undefined && now >= fetch.until
      const unanswered = fetch.state === 'asking' && fetch.backAt !== undefined && now - fetch.backAt > BACK_MS
      if (missing || rested || unanswered) void this.ask(fetch, now)
    }
  }

  private awaiting(unit: string, id: string): Fetch | undefined {
    for (const fetch of this.all.values()) {
      if (fetch.unit === unit && fetch.id === id && (fetch.state === 'asking' || fetch.state === 'coming')) return fetch
    }
    return undefined
  }

  /** Sends the command, for all of it or for what is missing. */
  private async ask(fetch: Fetch, now: number): Promise<void> {
    this.stopListening(fetch)
    if (!this.options.online()) return this.wait(fetch)
    if (++fetch.tries > MOST_TRIES) return this.fail(fetch, 'gaveUp')
    const { unit, wanted } = fetch
    const id = commandId()
    Object.assign(fetch, { id, state: 'asking', until: undefined, endAt: undefined, backAt: undefined, early: [], askedAt: now, heardAt: now })
    if ('cam' in wanted) fetch.assembly = undefined
    const from = fetch.assembly?.prefix ?? 0
    const { do: what, ...further } = wanted
    this.options.onChange()
    try {
      await this.options.listen(unit, id)
      if (fetch.id !== id) return
      const sent = await this.options.send(unit, what, { ...further, ...(from > 0 ? { from } : {}) }, id)
      if (sent.state === 'failed') throw new Error(sent.why)
    } catch (error) {
      if (fetch.id !== id || fetch.state !== 'asking') return
      if (!this.options.online()) this.wait(fetch)
      else this.fail(fetch, 'notSent', error instanceof Error ? error.message : String(error))
    }
  }

  private refuse(fetch: Fetch, reply: Reply, now: number): void {
    const word = reply.raw['refused']
    this.stopListening(fetch)
    fetch.why = reply.why
    fetch.refused = typeof word === 'string' ? word : ''
    if (fetch.refused === 'busy' && fetch.tries < MOST_TRIES) this.wait(fetch, now + BUSY_MS)
    else this.end(fetch, 'refused')
  }

  private begin(fetch: Fetch, file: Announced, now: number): void {
    if (!fetch.assembly?.isOf(file)) {
      fetch.assembly = undefined
      // Another file than before, of which the beginning is not sent.
      if (file.from > 0) return void this.ask(fetch, now)
      try {
        fetch.assembly = new Assembly(file)
      } catch {
        // This device has no room for it.
        return this.fail(fetch, 'tooLarge')
      }
    }
    fetch.state = 'coming'
    const { early } = fetch
    fetch.early = []
    for (const { offset, part } of early) this.part(fetch.unit, fetch.id, offset, part, now)
    this.options.onChange()
  }

  private async finish(fetch: Fetch, assembly: Assembly, now: number): Promise<void> {
    this.stopListening(fetch)
    fetch.state = 'checking'
    this.options.onChange()
    const { file } = assembly
    const bytes = assembly.whole()
    const sum = await this.options.sha256(bytes).catch(() => '')
    fetch.assembly = undefined
    // Cancelled meanwhile.
    if (![...this.all.values()].includes(fetch)) return
    if (sum !== file.sha256) return this.fail(fetch, 'damaged')
    if (!beginsLike(file.type, bytes)) return this.fail(fetch, 'unexpected')
    fetch.blob = new Blob([bytes as BlobPart], { type: file.type })
    fetch.url = URL.createObjectURL(fetch.blob)
    fetch.doneAt = now
    this.end(fetch, 'done')
    this.options.onDone(fetch, bytes)
  }

  private wait(fetch: Fetch, until?: number): void {
    this.stopListening(fetch)
    fetch.state = 'waiting'
    fetch.until = until
    this.options.onChange()
  }

  private fail(fetch: Fetch, failure: Failure, why?: string): void {
    fetch.failure = failure
    fetch.why = why
    this.end(fetch, 'failed')
  }

  private end(fetch: Fetch, state: 'done' | 'refused' | 'failed'): void {
    this.stopListening(fetch)
    fetch.state = state
    fetch.assembly = undefined
    fetch.early = []
    this.trim()
    this.options.onChange()
  }

  private stopListening(fetch: Fetch): void {
    const { unit, id } = fetch
    fetch.id = ''
    if (id === '') return
    if (this.options.online()) this.options.unlisten(unit, id)
    else this.stale = [...this.stale, { unit, id }].slice(-MOST_HELD)
  }

  /** Lets go of the oldest finished ones beyond the bounds. */
  private trim(): void {
    const held = [...this.all].filter(([, { state }]) => !RUNNING.has(state)).sort(([, a], [, b]) => b.askedAt - a.askedAt)
    let bytes = 0
    held.forEach(([name, fetch], i) => {
      bytes += fetch.blob?.size ?? 0
      // The latest stays, however large.
      if (i > 0 && (i >= MOST_HELD || bytes > MOST_HELD_BYTES)) this.letGo(name, fetch)
    })
  }

  private letGo(name: string, fetch: Fetch): void {
    this.stopListening(fetch)
    if (fetch.url !== undefined) URL.revokeObjectURL(fetch.url)
    fetch.assembly = undefined
    this.all.delete(name)
  }
}

/** A camera has one picture of now, with or without lines; all else is named by its id. */
function nameOf(unit: string, wanted: Wanted): string {
  if ('cam' in wanted) return JSON.stringify([unit, 'now', wanted.cam])
  return JSON.stringify([unit, wanted.do, wanted.of, wanted.do === 'still' && wanted.full === true])
}
