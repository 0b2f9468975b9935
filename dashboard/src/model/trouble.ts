/**
 * What somebody should look at on a unit, worst first. One list for the card,
 * the order of the cards and the summary, so that they cannot disagree.
 */
import { clampTime } from './calendar.ts'
import type { Condition } from './health.ts'
import type { Presence } from './presence.ts'

export type Trouble =
  | { is: 'vanished' | 'silent' | 'stopped'; since: number }
  | { is: 'camera'; cam: string }
  | { is: 'journal'; why: string }
  | { is: 'hot'; celsius: number }
  | { is: 'disk'; freeMb: number }
  | { is: 'battery'; pct: number }
  | { is: 'queue'; n: number }
  | { is: 'paused'; until: number }
  | { is: 'clock' }
  | { is: 'gaps'; n: number }

/** 2: act; 1: keep an eye on; 0: nothing. */
export type Severity = 0 | 1 | 2

/** A Raspberry Pi slows itself down at 80 °C. */
const HOT_C = 78
const LOW_DISK_MB = 500
const LOW_BATTERY_PCT = 20
const OPENING_S = 30
/** More than a link that is up lets wait. */
const LONG_QUEUE = 50

/** A unit that has just started has not opened its cameras yet. */
export function isOpening({ upS }: Condition): boolean {
  return upS !== undefined && upS < OPENING_S
}

export function troubles(presence: Presence, condition: Condition | undefined, missing: number): Trouble[] {
  const list: Trouble[] = []
  if (presence.is === 'vanished' || presence.is === 'silent' || presence.is === 'stopped') {
    list.push({ is: presence.is, since: presence.since })
  }
  const there = presence.is === 'online'
  if (condition && there) {
    if (condition.pausedS !== undefined) list.push({ is: 'paused', until: clampTime(condition.t + condition.pausedS * 1000) })
    for (const camera of condition.cameras) if (camera.up === false && !isOpening(condition)) list.push({ is: 'camera', cam: camera.name })
    if (condition.journalError) list.push({ is: 'journal', why: condition.journalError })
    if ((condition.tempC ?? 0) >= HOT_C) list.push({ is: 'hot', celsius: condition.tempC as number })
    if ((condition.diskFreeMb ?? Infinity) < LOW_DISK_MB) list.push({ is: 'disk', freeMb: condition.diskFreeMb as number })
    if ((condition.batteryPct ?? 100) < LOW_BATTERY_PCT) list.push({ is: 'battery', pct: condition.batteryPct as number })
    if ((condition.queued ?? 0) > LONG_QUEUE) list.push({ is: 'queue', n: condition.queued as number })
    if (condition.clockTs === 'none') list.push({ is: 'clock' })
  }
  if (missing > 0) list.push({ is: 'gaps', n: missing })
  return list
}

const ACT: ReadonlySet<Trouble['is']> = new Set(['vanished', 'silent', 'camera', 'journal'] as const)

export function severity(list: readonly Trouble[]): Severity {
  if (list.length === 0) return 0
  return list.some(({ is }) => ACT.has(is)) ? 2 : 1
}
