/**
 * From the bytes of a message to an event, a status, a health message or a
 * reply. Every byte is untrusted: sizes are limited, the keys the page relies
 * on are checked, and an event has to name the unit on whose topic it came, so
 * that one unit cannot speak for another.
 */
import { fromCbor } from './cbor.ts'
import { parseTime, type WireEvent } from './event.ts'

/** Larger than any event the format allows. */
const MAX_BYTES = 64 * 1024

export class BadPayload extends Error {}

/** An event that came on the topic of `unit` and `kind`. */
export function decodeEvent(bytes: Uint8Array, unit: string, kind: string): WireEvent {
  const object = bytes[0] === 0x7b ? decodeObject(bytes) : decodeCbor(bytes)
  if (object['v'] !== 1) throw new BadPayload('not version 1 of the wire format')
  if (object['unit'] !== unit || object['kind'] !== kind) throw new BadPayload('an event of another topic')
  checkNumbers(object['log'], object['seq'])
  if (object['seq'] === 0) throw new BadPayload('numbers begin at 1')
  if (typeof object['t'] !== 'string' || parseTime(object['t']) === undefined) throw new BadPayload('no time')
  return object as unknown as WireEvent
}

/** `status`: who is there. */
export interface Status {
  state: 'online' | 'offline' | 'asleep'
  t: number
  log: string
  seq: number
  low: number
  /** The boot that it is in. */
  boot?: string
  version: string
}

export function decodeStatus(bytes: Uint8Array): Status {
  const object = decodeObject(bytes)
  const { state, t, log, seq, low, boot, version } = object
  if (state !== 'online' && state !== 'offline' && state !== 'asleep') throw new BadPayload('an unknown state')
  checkNumbers(log, seq)
  const at = typeof t === 'string' ? parseTime(t) : undefined
  if (at === undefined) throw new BadPayload('no time')
  return {
    state, t: at, log: log as string, seq: seq as number,
    low: Number.isSafeInteger(low) ? (low as number) : 0,
    ...(typeof boot === 'string' && /^[0-9a-f]{8}$/.test(boot) ? { boot } : {}),
    version: typeof version === 'string' ? version : '',
  }
}

/** `health`: any object with a time; its keys are read one by one. */
export interface Health {
  readonly t: number
  readonly log?: string
  readonly seq?: number
  readonly low?: number
  readonly raw: Record<string, unknown>
}

export function decodeHealth(bytes: Uint8Array): Health {
  const raw = decodeObject(bytes)
  const t = typeof raw['t'] === 'string' ? parseTime(raw['t']) : undefined
  if (t === undefined) throw new BadPayload('no time')
  const { log, seq, low } = raw
  const numbered = typeof log === 'string' && Number.isSafeInteger(seq) && Number.isSafeInteger(low)
  return numbered ? { t, log, seq: seq as number, low: low as number, raw } : { t, raw }
}

/** `reply/<id>`: the answer to a command. */
export interface Reply {
  readonly id: string
  readonly ok: boolean
  readonly why?: string
  readonly raw: Record<string, unknown>
}

export function decodeReply(bytes: Uint8Array): Reply {
  const raw = decodeObject(bytes)
  if (typeof raw['id'] !== 'string' || typeof raw['ok'] !== 'boolean') throw new BadPayload('not a reply')
  return { id: raw['id'], ok: raw['ok'], why: typeof raw['why'] === 'string' ? raw['why'] : undefined, raw }
}

function decodeObject(bytes: Uint8Array): Record<string, unknown> {
  limit(bytes)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new BadPayload('not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new BadPayload('not an object')
  return value as Record<string, unknown>
}

function decodeCbor(bytes: Uint8Array): Record<string, unknown> {
  limit(bytes)
  try {
    return fromCbor(bytes)
  } catch {
    throw new BadPayload('neither JSON nor CBOR')
  }
}

function limit(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new BadPayload('empty')
  if (bytes.length > MAX_BYTES) throw new BadPayload('too large')
}

function checkNumbers(log: unknown, seq: unknown): void {
  if (typeof log !== 'string' || log === '' || log.length > 32) throw new BadPayload('no log')
  if (!Number.isSafeInteger(seq) || (seq as number) < 0) throw new BadPayload('no number')
}
