// An invented fleet for the tests: units with weeks of events, the same for the
// same seed. Nothing here is a recording.

/** A small generator of random numbers (mulberry32): the same sequence for the same seed. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const HOUR = 3_600_000
const CLASSES = [['car', 'vehicle', 0.45], ['truck', 'vehicle', 0.1], ['motorcycle', 'vehicle', 0.06], ['person', 'person', 0.27], ['dog', 'animal', 0.07], ['bus', 'vehicle', 0.05]]
/** How much passes in each hour of a day. */
const HOURS = [1, 1, 1, 1, 2, 4, 8, 12, 10, 7, 6, 6, 7, 6, 6, 7, 9, 12, 11, 8, 5, 4, 3, 2]

/**
 * A fleet whose last event was at `now`. Returns `events` in the order of time,
 * and each unit's last `status` and `health`.
 */
export function makeFleet({ units, events: wanted, days, now, seed = 7, names }) {
  const next = random(seed)
  const pick = (list) => list[Math.floor(next() * list.length)]
  const hex = (n) => Array.from({ length: n }, () => Math.floor(next() * 16).toString(16)).join('')
  const uuid = () => `0193${hex(4)}-${hex(4)}-7${hex(3)}-a${hex(3)}-${hex(12)}`
  const iso = (at) => new Date(at).toISOString()
  const fleet = Array.from({ length: units }, (_, i) => ({
    id: names?.[i] ?? `unit-${String(i + 1).padStart(3, '0')}`, log: hex(6), boot: hex(8), seq: 0, weight: 0.3 + next() * 1.4, drafts: [],
  }))
  const begin = now - days * 24 * HOUR
  // A crossing brings a start, the crossing and an end; hours bring a `watch`.
  const watches = fleet.length * days * 24
  const crossings = Math.max(0, Math.floor((wanted - watches) / 3))
  for (const unit of fleet) {
    for (let at = begin + HOUR; at <= now; at += HOUR) {
      if (next() < 0.04) continue
      const blind = next() < 0.05 ? Math.round(next() * 1800) : 0
      unit.drafts.push({ at, kind: 'watch', cam: 'road', from: iso(at - HOUR), to: iso(at), frames: 36_000, blind_s: blind })
    }
  }
  for (let i = 0; i < crossings; i++) {
    const unit = pick(fleet)
    let at
    do at = begin + next() * (now - begin)
    while (next() * 12 > HOURS[new Date(at).getHours()])
    let roll = next()
    const [cls, grp] = CLASSES.find(([, , share]) => (roll -= share) < 0) ?? CLASSES[0]
    const id = uuid()
    const dir = next() < 0.5 ? 'uphill' : 'downhill'
    const box = [next() * 0.7, 0.3 + next() * 0.3, 0.1 + next() * 0.1, 0.1 + next() * 0.15].map((side) => +side.toFixed(3))
    const about = { id, cam: 'road', grp, cls, conf: +(0.5 + next() * 0.45).toFixed(2), box }
    unit.drafts.push({ at, kind: 'sighting', phase: 'start', ...about })
    unit.drafts.push({ at: at + 1500, kind: 'crossing', ...about, wire: 'gate', dir })
    // One in ten is found to be something else after it has crossed.
    const others = CLASSES.filter(([other, group]) => group === grp && other !== cls)
    const settled = others.length > 0 && next() < 0.1 ? pick(others)[0] : cls
    unit.drafts.push({ at: at + 4000, kind: 'sighting', phase: 'end', ...about, cls: settled, dur: 4, why: 'left' })
  }
  const events = []
  for (const unit of fleet) {
    unit.drafts.sort((a, b) => a.at - b.at)
    for (const { at, kind, ...more } of unit.drafts) {
      unit.seq += 1
      events.push({ v: 1, unit: unit.id, log: unit.log, seq: unit.seq, kind, t: iso(at), tu: 12, ts: 'ntp', boot: unit.boot, m: Math.round(at - begin), ...more })
    }
  }
  events.sort((a, b) => (a.t < b.t ? -1 : 1))
  return { events, units: fleet.map((unit, i) => words(unit, i, now, next, iso)) }
}

function words(unit, i, now, next, iso) {
  const t = iso(now - 15_000)
  const common = { v: 1, t, log: unit.log, seq: unit.seq, low: unit.seq, boot: unit.boot, version: '0.1.0' }
  const health = (at, temp) => ({
    ...common, t: iso(at), up_s: 86_400 * 3, cpu_s: 9000, cpu_pct: +(6 + next() * 8).toFixed(1), rss_kb: Math.round(180_000 + next() * 4000), temp_c: +temp.toFixed(1), disk_free_mb: Math.round(21_000 - i * 37),
    clock: { ts: i % 7 === 3 ? 'gps' : 'ntp', tu: 4 + (i % 9), steps: 0 },
    journal: { queued: Math.floor(next() * 3), commits: unit.seq, failed: 0, lost: 0 },
    uplink: { delivered: unit.seq, unheard: 0, set_aside: 0, in_flight: 0, failures: i % 5, connections: 1 + (i % 5), today_bytes: Math.round(400_000 + next() * 900_000) },
    cameras: [{ name: 'road', up: true, frames: 2_592_000, decoded: 90_000, inferences: 12_000, age_s: 0.1, queue: 0, dropped: 0, reconnects: 1, gate: { mode: 'closed', why: 'still', trust: 0.97 }, look: { n: 40, p50_ms: 61, p95_ms: 118, p99_ms: 160 } }],
  })
  const history = Array.from({ length: 48 }, (_, k) => health(now - 15_000 - (47 - k) * 600_000, 47 + 9 * Math.sin((k + i) / 8) + next() * 2))
  return { id: unit.id, status: { ...common, t: iso(now - 3 * 86_400_000), state: 'online' }, health: history[history.length - 1], history }
}
