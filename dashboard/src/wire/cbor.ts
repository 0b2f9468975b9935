/**
 * CBOR payloads (`uplink.format = "cbor"`) to the JSON form of the same event:
 * the table in docs/reference/wire.md, read backwards. The keys are the same;
 * ids, times and fractions are shorter.
 */
import { decode } from 'cborg'

const IDS = new Set(['id', 'gid', 'of'])
/** Checksums: 32 bytes instead of 64 hexadecimal digits. */
const DIGESTS = new Set(['still', 'sha256'])
const TIMES = new Set(['t', 't0', 'prev', 'until'])
const DECIMALS = new Map([['box', 3], ['conf', 2], ['dur', 1], ['blind_s', 1], ['paused_s', 1]])

/** The object a CBOR map stands for; throws where it is no such map. */
export function fromCbor(bytes: Uint8Array): Record<string, unknown> {
  const map: unknown = decode(bytes, { useMaps: true, rejectDuplicateMapKeys: true })
  if (!(map instanceof Map)) throw new Error('not a map')
  // What the same key means depends on the kind.
  const kind: unknown = map.get('kind')
  const times = kind === 'watch' ? ['from', 'to'] : kind === 'kept' ? ['to'] : []
  const object: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [key, value] of map) {
    if (typeof key !== 'string') throw new Error('a key that is no text')
    object[key] = fromShort(key, value, times)
  }
  return object
}

function fromShort(key: string, value: unknown, times: readonly string[]): unknown {
  if (IDS.has(key) && value instanceof Uint8Array) return uuid(value)
  if (IDS.has(key) && Array.isArray(value)) return value.map((id) => (id instanceof Uint8Array ? uuid(id) : plain(id)))
  if (DIGESTS.has(key) && value instanceof Uint8Array) return hex(value)
  if (typeof value === 'number') {
    if (TIMES.has(key) || times.includes(key)) return new Date(value).toISOString()
    if (key === 'boot') return value.toString(16).padStart(8, '0')
    const decimals = DECIMALS.get(key)
    if (decimals !== undefined) return value / 10 ** decimals
  }
  if (key === 'box' && Array.isArray(value)) return value.map((side) => Number(side) / 1000)
  return plain(value)
}

/** What is nested further down (`ranges`), without maps and byte strings. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map || value instanceof Uint8Array || typeof value === 'bigint') return null
  return value
}

function uuid(bytes: Uint8Array): string {
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
