/**
 * Commands to units and what became of them. The wire form is in
 * docs/reference/commands.md: `ping` and `resend` go as they are, all others
 * signed with the key that is held, to hold for a while.
 */
import { randomHex } from '../link/session.ts'
import type { Reply } from '../wire/decode.ts'
import { nextCounter, signedPayload, signedText, Unsignable, type OperatorKey } from './key.ts'

export interface Sent {
  readonly id: string
  readonly unit: string
  readonly what: string
  readonly at: number
  /** Of a signed one: until when it holds. */
  until?: number
  state: 'sent' | 'ok' | 'refused' | 'failed'
  why?: string
  /** When the reply came. */
  answered?: number
  reply?: Record<string, unknown>
}

/** What needs no signature. */
const OPEN = new Set(['ping', 'resend'])

/** How many are remembered, the latest. */
const MOST = 100

/** How long a signed command holds: for a unit that is there, and for one that is away, for which brokers keep it. */
export const HOLD_MS = 10 * 60_000
export const HOLD_AWAY_MS = 6 * 3_600_000

/** What is known of a unit to which a command goes; all of it is what the broker says. */
export interface Standing {
  /** Its present journal. */
  log: string
  /** The boot that it is in. */
  boot?: string
  /** Whether it is not there. */
  away: boolean
}

export interface CommandsOptions {
  /** `holdMs`: how long the broker has to keep it, if there is an end. */
  publish: (unit: string, payload: string, holdMs?: number) => Promise<void>
  /** `<prefix>/<unit>`. */
  topicOf: (unit: string) => string
  standingOf: (unit: string) => Standing | undefined
  /** The last counter that a key has used, to be kept over sessions. */
  counters: { last: (key: string) => number; used: (key: string, n: number) => void }
}

/** A broker, or whoever writes a unit's status there, says something that must not be signed. */
function unsignable(part: string): string {
  return part === 'n' ? 'the counter is far ahead of this device’s clock' : `what the broker says of the unit cannot be signed ('${part}')`
}

/** A name for a command that no other has. */
export function commandId(): string {
  return `web-${randomHex(8)}`
}

export class Commands {
  /** The latest first. */
  readonly sent: Sent[] = []
  key?: OperatorKey
  /** Fulfilled when the last command is on its way: counters have to rise in the order of arrival. */
  private turn: Promise<void> = Promise.resolve()

  constructor(private readonly options: CommandsOptions) {}

  /** Whether it can be sent as things are. */
  can(what: string): boolean {
    return OPEN.has(what) || this.key !== undefined
  }

  /** Sends `{"do", …}`; the entry that tells what became of it. */
  async send(unit: string, what: string, further: Record<string, unknown>, now: number, id = commandId()): Promise<Sent> {
    const entry: Sent = { id, unit, what, at: now, state: 'sent' }
    this.sent.unshift(entry)
    this.sent.length = Math.min(this.sent.length, MOST)
    try {
      let published: Promise<void> | undefined
      const turn = this.turn.then(async () => {
        const payload = await this.payload(entry, { do: what, ...further })
        published = this.options.publish(unit, payload, entry.until === undefined ? undefined : entry.until - now)
        // Whoever waits for it learns of it; the next command need not wait.
        published.catch(() => {})
      })
      this.turn = turn.catch(() => {})
      await turn
      await published
    } catch (error) {
      entry.state = 'failed'
      entry.why = error instanceof Unsignable ? unsignable(error.message) : error instanceof Error ? error.message : String(error)
    }
    return entry
  }

  /** A reply came; the command it answers, if it was sent from here. */
  answer(unit: string, topicId: string, reply: Reply, now: number): Sent | undefined {
    const entry = this.sent.find((sent) => sent.id === reply.id && sent.unit === unit && topicId === reply.id)
    if (!entry) return undefined
    entry.state = reply.ok ? 'ok' : 'refused'
    entry.why = reply.why
    entry.answered = now
    entry.reply = reply.raw
    return entry
  }

  private async payload(entry: Sent, command: Record<string, unknown>): Promise<string> {
    const { key, options } = this
    const { id, unit, at } = entry
    if (OPEN.has(String(command['do']))) return JSON.stringify({ id, ...command })
    if (!key) throw new Error('no key is held')
    const standing = options.standingOf(unit)
    if (standing === undefined) throw new Error('the unit has not told its journal yet')
    const { log, boot, away } = standing
    const until = Math.floor(at) + (away ? HOLD_AWAY_MS : HOLD_MS)
    const topic = options.topicOf(unit)
    const wording = { log, boot, id, n: 1, until, cmd: JSON.stringify(command) }
    // Before a counter is used up for it.
    signedText(topic, wording)
    const n = nextCounter(options.counters.last(key.publicHex), at)
    options.counters.used(key.publicHex, n)
    entry.until = until
    return signedPayload(key, topic, { ...wording, n })
  }
}
