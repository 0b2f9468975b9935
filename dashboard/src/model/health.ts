/**
 * The keys of a health message that the page shows, read one by one: an absent
 * or strange one is simply not known. See docs/reference/health.md.
 */
import type { Health } from '../wire/decode.ts'

export interface CameraHealth {
  name: string
  up?: boolean
  ageS?: number
  frames?: number
  decoded?: number
  inferences?: number
  queue?: number
  dropped?: number
  reconnects?: number
  gate?: string
  gateWhy?: string
  lookP95Ms?: number
}

export interface Condition {
  t: number
  upS?: number
  /** How long a pause lasts yet: nothing is watched meanwhile. */
  pausedS?: number
  cpuPct?: number
  rssKb?: number
  tempC?: number
  diskFreeMb?: number
  clockTs?: string
  clockTuMs?: number
  queued?: number
  journalError?: string
  delivered?: number
  unheard?: number
  failures?: number
  connections?: number
  todayBytes?: number
  supplyV?: number
  batteryPct?: number
  version?: string
  cameras: CameraHealth[]
}

/** One figure over time, as the unit page draws it. */
export type Figure = 'tempC' | 'diskFreeMb' | 'queued' | 'cpuPct' | 'rssKb' | 'supplyV'

export function conditionOf(health: Health): Condition {
  const { raw } = health
  const [clock, journal, uplink] = [part(raw, 'clock'), part(raw, 'journal'), part(raw, 'uplink')]
  const power = part(raw, 'power')
  const cameras = Array.isArray(raw['cameras']) ? raw['cameras'].slice(0, 64) : []
  return {
    t: health.t,
    upS: num(raw, 'up_s'),
    pausedS: num(raw, 'paused_s'),
    cpuPct: num(raw, 'cpu_pct'),
    rssKb: num(raw, 'rss_kb'),
    tempC: num(raw, 'temp_c'),
    diskFreeMb: num(raw, 'disk_free_mb'),
    clockTs: str(clock, 'ts'),
    clockTuMs: num(clock, 'tu'),
    queued: num(journal, 'queued'),
    journalError: str(journal, 'error'),
    delivered: num(uplink, 'delivered'),
    unheard: num(uplink, 'unheard'),
    failures: num(uplink, 'failures'),
    connections: num(uplink, 'connections'),
    todayBytes: num(uplink, 'today_bytes'),
    supplyV: num(power, 'volts') ?? num(power, 'v'),
    batteryPct: num(power, 'battery_pct') ?? num(power, 'pct'),
    version: str(raw, 'version'),
    cameras: cameras.flatMap((value): CameraHealth[] => {
      if (typeof value !== 'object' || value === null) return []
      const camera = value as Record<string, unknown>
      const name = str(camera, 'name')
      if (name === undefined) return []
      const [gate, look] = [part(camera, 'gate'), part(camera, 'look')]
      return [{
        name,
        up: typeof camera['up'] === 'boolean' ? camera['up'] : undefined,
        ageS: num(camera, 'age_s'),
        frames: num(camera, 'frames'),
        decoded: num(camera, 'decoded'),
        inferences: num(camera, 'inferences'),
        queue: num(camera, 'queue'),
        dropped: num(camera, 'dropped'),
        reconnects: num(camera, 'reconnects'),
        gate: str(gate, 'mode'),
        gateWhy: str(gate, 'why'),
        lookP95Ms: num(look, 'p95_ms'),
      }]
    }),
  }
}

function part(of: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = of[key]
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function num(of: Record<string, unknown>, key: string): number | undefined {
  const value = of[key]
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function str(of: Record<string, unknown>, key: string): string | undefined {
  const value = of[key]
  return typeof value === 'string' && value !== '' ? value.slice(0, 300) : undefined
}
