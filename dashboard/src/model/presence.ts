/**
 * Whether a unit is there. Silence is told as loudly as an alarm: a unit that
 * says it is online but has not been heard for a while is `silent`, whatever its
 * last word was.
 */
import type { Status } from '../wire/decode.ts'

export type Presence =
  /** Heard lately. */
  | { is: 'online'; heard: number }
  /** It said so before it went; it will be back. */
  | { is: 'asleep'; since: number }
  /** It was stopped, and said so. */
  | { is: 'stopped'; since: number }
  /** It vanished: the broker sent its last will. `since`: its last word. */
  | { is: 'vanished'; since: number }
  /** It should have spoken by now. `since`: its last word. */
  | { is: 'silent'; since: number }
  /** Nothing is known but that it exists. */
  | { is: 'unknown' }

export interface Heard {
  status?: Status
  /** When the last `health` was made, by the unit's clock. */
  healthT?: number
  /**
   * When a `health` last arrived live, by the browser's clock. Other messages say
   * less: the broker may have held them back while the browser was away.
   */
  liveRx?: number
  /** By how much the browser's clock was ahead of the unit's then, ms; what the message took on its way is in it. */
  aheadMs?: number
  /** When its last event happened. */
  eventAt?: number
  /** Time between its health messages, ms, if more than one came. */
  intervalMs?: number
}

/** Before two health messages came: the default of `health.interval`. */
const DEFAULT_INTERVAL_MS = 60_000
/** A health message may be lost (QoS 0); three in a row are not. */
const MISSED = 3
const GRACE_MS = 20_000

/** The presence of a unit at `now` (ms), as far as told. */
export function presence(heard: Heard, now: number): Presence {
  const { status } = heard
  const word = lastWord(heard, now)
  if (!status) return word === undefined ? { is: 'unknown' } : byAge(heard, word, now)
  if (status.state === 'asleep') return { is: 'asleep', since: status.t }
  if (status.state === 'offline') {
    // A last will carries the time of the connection, which other messages
    // followed; a unit that is stopped says so last.
    const stopped = status.t > (heard.healthT ?? -Infinity)
    return stopped ? { is: 'stopped', since: status.t } : { is: 'vanished', since: word ?? status.t }
  }
  return byAge(heard, word ?? status.t, now)
}

/** Clocks of units and browsers differ a little. */
const AHEAD_MS = 60_000

/** The last time the unit is known to have spoken. A time from the future is of a wrong clock and says nothing. */
export function lastWord(heard: Heard, now: number): number | undefined {
  const online = heard.status?.state === 'online' ? heard.status.t : undefined
  const known = [heard.liveRx, heard.healthT, heard.eventAt, online].filter((time) => time !== undefined && time <= now + AHEAD_MS) as number[]
  return known.length > 0 ? Math.max(...known) : undefined
}

function byAge(heard: Heard, word: number, now: number): Presence {
  const patience = MISSED * (heard.intervalMs ?? DEFAULT_INTERVAL_MS) + GRACE_MS
  return now - word > patience ? { is: 'silent', since: word } : { is: 'online', heard: word }
}
