/**
 * Stills: JPEG bytes by unit and sighting, from the store or as they come, as
 * URLs that an `<img>` may show. Only what begins like a JPEG is taken.
 */
import { surplus } from '../model/quota.ts'
import { MAX_PIXELS, pixelsOf } from '../wire/jpeg.ts'
import type { Store } from './store.ts'

/** Pictures held as URLs at a time; the one not asked for the longest goes first. */
const MAX_URLS = 300
export const MAX_STILL_BYTES = 2 * 1024 * 1024
/** All stills together, on the disk as well. */
export const MAX_ALL_BYTES = 512 * 1024 * 1024
/** What one from an earlier visit is reckoned at: its size is not read again. */
const USUAL_BYTES = 64 * 1024

export function isJpeg(bytes: Uint8Array): boolean {
  return bytes.length > 4 && bytes.length <= MAX_STILL_BYTES && bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff && pixelsOf(bytes) <= MAX_PIXELS
}

/** 64 hexadecimal digits. Fails where the page was not served over TLS or from this machine. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as BufferSource)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function unitOf(name: string): string {
  return name.slice(0, name.indexOf(' '))
}

export class Stills {
  /** The size of each, in the order in which they came. */
  private readonly sizes = new Map<string, number>()
  private readonly urls = new Map<string, string>()
  /** What the store could not take, or has not yet. */
  private readonly fresh = new Map<string, Uint8Array>()
  store?: Store

  get count(): number {
    return this.sizes.size
  }

  restore(names: readonly [string, string][]): void {
    for (const [unit, id] of names) this.sizes.set(`${unit} ${id}`, USUAL_BYTES)
  }

  add(unit: string, id: string, bytes: Uint8Array): void {
    const name = `${unit} ${id}`
    this.sizes.delete(name)
    this.sizes.set(name, bytes.length)
    this.fresh.set(name, bytes)
    this.revoke(name)
    if (this.fresh.size > MAX_URLS) this.letGo()
  }

  has(unit: string, id: string): boolean {
    return this.sizes.has(`${unit} ${id}`)
  }

  /** The URL if it is at hand now: no waiting, no flicker. */
  ready(unit: string, id: string): string | undefined {
    const name = `${unit} ${id}`
    const url = this.urls.get(name)
    if (url === undefined) return undefined
    this.urls.delete(name)
    this.urls.set(name, url)
    return url
  }

  async url(unit: string, id: string): Promise<string | undefined> {
    const ready = this.ready(unit, id)
    if (ready !== undefined || !this.has(unit, id)) return ready
    const name = `${unit} ${id}`
    const bytes = await this.bytes(unit, id)
    if (!bytes || !isJpeg(bytes)) return undefined
    const other = this.ready(unit, id)
    if (other !== undefined) return other
    const url = URL.createObjectURL(new Blob([bytes as BlobPart], { type: 'image/jpeg' }))
    this.urls.set(name, url)
    const oldest = this.urls.keys().next().value
    if (this.urls.size > MAX_URLS && oldest !== undefined) this.revoke(oldest)
    return url
  }

  /** The SHA-256 of a still, 64 hex digits; nothing where there is none or the browser cannot tell. */
  async sha256(unit: string, id: string): Promise<string | undefined> {
    const bytes = await this.bytes(unit, id)
    return bytes && globalThis.crypto.subtle ? sha256(bytes) : undefined
  }

  private async bytes(unit: string, id: string): Promise<Uint8Array | undefined> {
    return this.fresh.get(`${unit} ${id}`) ?? (await this.store?.still(unit, id).catch(() => undefined))
  }

  /** Lets go of the oldest of the units with the most bytes, until all have no more than `most`; which they were. */
  letGoBeyond(most = MAX_ALL_BYTES): [string, string][] {
    const sums = new Map<string, number>()
    for (const [name, size] of this.sizes) sums.set(unitOf(name), (sums.get(unitOf(name)) ?? 0) + size)
    const going = surplus(sums, most)
    const gone: [string, string][] = []
    for (const [name, size] of going.size > 0 ? this.sizes : []) {
      const unit = unitOf(name)
      const left = going.get(unit) ?? 0
      if (left <= 0) continue
      going.set(unit, left - size)
      gone.push([unit, name.slice(unit.length + 1)])
      this.sizes.delete(name)
      this.fresh.delete(name)
      this.revoke(name)
    }
    return gone
  }

  /** The oldest picture of the unit with most of them. */
  private letGo(): void {
    const counts = new Map<string, number>()
    for (const name of this.fresh.keys()) counts.set(unitOf(name), (counts.get(unitOf(name)) ?? 0) + 1)
    const most = Math.max(...counts.values())
    for (const name of this.fresh.keys()) {
      if (counts.get(unitOf(name)) === most) return void this.fresh.delete(name)
    }
  }

  private revoke(name: string): void {
    const url = this.urls.get(name)
    if (url !== undefined) URL.revokeObjectURL(url)
    this.urls.delete(name)
  }
}
