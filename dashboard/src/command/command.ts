/**
 * Commands to units and what became of them. The wire form is in
 * docs/reference/commands.md: `ping` and `resend` go as they are, all others
 * signed with the key that is held.
 */
import { randomHex } from '../link/session.ts'
import type { Reply } from '../wire/decode.ts'
import { nextCounter, signedPayload, type OperatorKey } from './key.ts'

export interface Sent {
  readonly id: string
  readonly unit: string
  readonly what: string
  readonly at: number
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

export interface CommandsOptions {
  publish: (unit: string, payload: string) => Promise<void>
  /** `<prefix>/<unit>`. */
  topicOf: (unit: string) => string
  /** The unit's present journal. */
  logOf: (unit: string) => string | undefined
  /** The last counter that a key has used, to be kept over sessions. */
  counters: { last: (key: string) => number; used: (key: string, n: number) => void }
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
        const payload = await this.payload(unit, id, { do: what, ...further }, now)
        published = this.options.publish(unit, payload)
        // Whoever waits for it learns of it; the next command need not wait.
        published.catch(() => {})
      })
      this.turn = turn.catch(() => {})
      await turn
      await published
    } catch (error) {
      entry.state = 'failed'
      entry.why = error instanceof Error ? error.message : String(error)
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

  private async payload(unit: string, id: string, command: Record<string, unknown>, now: number): Promise<string> {
    const { key, options } = this
    if (OPEN.has(String(command['do']))) return JSON.stringify({ id, ...command })
    if (!key) throw new Error('no key is held')
    const log = options.logOf(unit)
    if (log === undefined) throw new Error('the unit has not told its journal yet')
    const n = nextCounter(options.counters.last(key.publicHex), now)
    options.counters.used(key.publicHex, n)
    return signedPayload(key, options.topicOf(unit), log, id, n, JSON.stringify(command))
  }
}
