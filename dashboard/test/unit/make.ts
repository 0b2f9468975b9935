/** Events for the tests. */
import type { WireEvent } from '../../src/wire/event.ts'

export const T0 = Date.UTC(2026, 4, 1, 12)

/** An event `seconds` after T0. */
export function event(seq: number, kind: string, seconds: number, more: Record<string, unknown> = {}): WireEvent {
  return { v: 1, unit: 'u', log: 'aaaa', seq, kind, t: new Date(T0 + seconds * 1000).toISOString(), tu: 5, ts: 'ntp', ...more }
}

export function crossing(seq: number, seconds: number, more: Record<string, unknown> = {}): WireEvent {
  return event(seq, 'crossing', seconds, { id: `id-${seq}`, cam: 'c', grp: 'vehicle', cls: 'car', conf: 0.8, box: [0, 0, 0.1, 0.1], wire: 'w', dir: 'in', ...more })
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
