/**
 * What this browser keeps on its disk (IndexedDB): events, the last word and the
 * health of each unit, stills. A reload, or a broker that keeps nothing, loses
 * nothing that was here.
 *
 * Object stores of the database `tawny`, version 1:
 *   events   [unit, log, seq] → { unit, log, seq, rx, json }  the wire's object as text:
 *                              browsers read 50,000 texts several times faster than objects
 *   health   [unit, t]        → { unit, t, raw }  the last one of each HEALTH_STEP_MS, which begins at t
 *   status   unit             → { unit, status }
 *   stills   [unit, id]       → { unit, id, rx, bytes }
 *
 * Bounds: MAX_EVENTS events and MAX_STILLS stills; the unit with most of them lets go
 * first, of what came first.
 * HEALTH_KEPT rows of health for each unit, none older than HEALTH_DAYS.
 */
import { HEALTH_KEPT, HEALTH_STEP_MS } from '../model/fleet.ts'
import { surplus } from '../model/quota.ts'
import { parseTime } from '../wire/event.ts'
import type { Health, Status } from '../wire/decode.ts'
import type { WireEvent } from '../wire/event.ts'

export const DATABASE = 'tawny'
export const MAX_EVENTS = 200_000
export const MAX_STILLS = 5_000
export const HEALTH_DAYS = 7
/** So many rows of a unit may come on top of HEALTH_KEPT before they are cut. */
const HEALTH_SLACK = 100

export interface EventRow {
  unit: string
  log: string
  seq: number
  rx: number
  json: string
}

export interface StillRow {
  unit: string
  id: string
  rx: number
  bytes: Uint8Array
}

/** What waits to be written, all in one transaction. */
export interface Batch {
  events: EventRow[]
  health: { unit: string; t: number; raw: Record<string, unknown> }[]
  status: { unit: string; status: Status }[]
  stills: StillRow[]
}

export class Store {
  /** Rows of health written of a unit since they were cut. */
  private readonly fresh = new Map<string, number>()

  private constructor(private readonly db: IDBDatabase) {}

  /** Opens the database; fails where the browser allows none (some private windows). */
  static async open(): Promise<Store> {
    const request = indexedDB.open(DATABASE, 1)
    request.onupgradeneeded = () => {
      const db = request.result
      db.createObjectStore('events', { keyPath: ['unit', 'log', 'seq'] }).createIndex('rx', 'rx')
      db.createObjectStore('health', { keyPath: ['unit', 't'] }).createIndex('t', 't')
      db.createObjectStore('status', { keyPath: 'unit' })
      db.createObjectStore('stills', { keyPath: ['unit', 'id'] }).createIndex('rx', 'rx')
    }
    const db = await result(request)
    const store = new Store(db)
    // Another tab forgets everything: do not stand in its way.
    db.onversionchange = () => db.close()
    return store
  }

  write(batch: Batch): Promise<void> {
    const transaction = this.db.transaction(['events', 'health', 'status', 'stills'], 'readwrite')
    for (const row of batch.events) transaction.objectStore('events').put(row)
    const health = transaction.objectStore('health')
    for (const row of batch.health) {
      health.put({ ...row, t: stepOf(row.t) })
      const fresh = (this.fresh.get(row.unit) ?? 0) + 1
      this.fresh.set(row.unit, fresh % HEALTH_SLACK)
      if (fresh === HEALTH_SLACK) cut(health, row.unit)
    }
    for (const row of batch.status) transaction.objectStore('status').put(row)
    for (const row of batch.stills) transaction.objectStore('stills').put(row)
    return finished(transaction)
  }

  /** The last words of every unit; how it was before is asked for one by one. */
  async units(): Promise<{ status: Batch['status']; health: { unit: string; health: Health }[] }> {
    const transaction = this.db.transaction(['status', 'health'])
    const status = (await result(transaction.objectStore('status').getAll())) as Batch['status']
    const store = transaction.objectStore('health')
    const units = await firstParts(store)
    const rows = await Promise.all(units.map((unit) => last(store, ofUnit(unit))))
    return { status, health: (rows as (HealthRow | undefined)[]).flatMap((row) => (row ? [{ unit: row.unit, health: healthOf(row) }] : [])) }
  }

  /** What is kept of a unit's health, the earliest first. */
  async health(unit: string): Promise<Health[]> {
    const store = this.db.transaction('health').objectStore('health')
    const rows = (await result(store.getAll(ofUnit(unit), HEALTH_KEPT + HEALTH_SLACK))) as HealthRow[]
    return rows.slice(-HEALTH_KEPT).map(healthOf)
  }

  /** All events, in parts, so that the page stays alive meanwhile. */
  async *events(part: number): AsyncGenerator<{ e: WireEvent; rx: number }[]> {
    let after: IDBValidKey | undefined
    for (;;) {
      const store = this.db.transaction('events').objectStore('events')
      const range = after === undefined ? undefined : IDBKeyRange.lowerBound(after, true)
      const rows = (await result(store.getAll(range, part))) as EventRow[]
      if (rows.length > 0) yield rows.map(({ rx, json }) => ({ e: JSON.parse(json) as WireEvent, rx }))
      const last = rows[rows.length - 1]
      if (!last || rows.length < part) return
      after = [last.unit, last.log, last.seq]
    }
  }

  async still(unit: string, id: string): Promise<Uint8Array | undefined> {
    const store = this.db.transaction('stills').objectStore('stills')
    return ((await result(store.get([unit, id]))) as StillRow | undefined)?.bytes
  }

  /** The names of all stills that are there. */
  async stillNames(): Promise<[string, string][]> {
    return (await result(this.db.transaction('stills').objectStore('stills').getAllKeys())) as [string, string][]
  }

  async deleteStills(names: readonly [string, string][]): Promise<void> {
    if (names.length === 0) return
    const transaction = this.db.transaction('stills', 'readwrite')
    for (const name of names) transaction.objectStore('stills').delete([...name])
    await finished(transaction)
  }

  /** Removes what is beyond the bounds; how many stills went. */
  async trim(now: number): Promise<number> {
    await this.trimFairly('events', MAX_EVENTS)
    const stills = await this.trimFairly('stills', MAX_STILLS)
    const transaction = this.db.transaction('health', 'readwrite')
    const old = IDBKeyRange.upperBound(now - HEALTH_DAYS * 86_400_000)
    const health = transaction.objectStore('health')
    await deleteAll(health.index('t'), old, Infinity)
    for (const unit of await firstParts(health)) cut(health, unit)
    await finished(transaction)
    return stills
  }

  close(): void {
    this.db.close()
  }

  private async trimFairly(name: string, most: number): Promise<number> {
    const transaction = this.db.transaction(name, 'readwrite')
    const store = transaction.objectStore(name)
    const extra = (await result(store.count())) - most
    if (extra > 0) {
      const counts = new Map<string, number>()
      for (const key of await result(store.getAllKeys())) {
        const [unit] = key as [string]
        counts.set(unit, (counts.get(unit) ?? 0) + 1)
      }
      await deleteOldest(store, surplus(counts, most))
    }
    await finished(transaction)
    return Math.max(0, extra)
  }
}

/** Deletes the database: nothing of it is left on this disk. Fails where the browser allows none. */
export async function forgetStore(): Promise<void> {
  await result(indexedDB.deleteDatabase(DATABASE))
}

type HealthRow = Batch['health'][number]

/** The begin of the stretch of time of which one row is kept. */
export function stepOf(t: number): number {
  return Math.floor(t / HEALTH_STEP_MS) * HEALTH_STEP_MS
}

function healthOf({ t, raw }: HealthRow): Health {
  const { log, seq, low } = raw
  const numbers = typeof log === 'string' ? { log, seq: seq as number, low: low as number } : {}
  const said = typeof raw['t'] === 'string' ? parseTime(raw['t']) : undefined
  return { t: said ?? t, raw, ...numbers }
}

/** All keys that begin with `unit`. */
function ofUnit(unit: string): IDBKeyRange {
  return IDBKeyRange.bound([unit], [unit, []])
}

/** Deletes the earliest rows of a unit beyond HEALTH_KEPT, in the transaction that `store` is of. */
function cut(store: IDBObjectStore, unit: string): void {
  const counted = store.count(ofUnit(unit))
  counted.onsuccess = () => {
    const extra = counted.result - HEALTH_KEPT
    if (extra <= 0) return
    const keys = store.getAllKeys(ofUnit(unit), extra)
    keys.onsuccess = () => {
      const to = keys.result[keys.result.length - 1]
      if (to !== undefined) store.delete(IDBKeyRange.bound([unit], to))
    }
  }
}

/** What the keys of a store begin with, each once: skips from one to the next. */
function firstParts(store: IDBObjectStore): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const found: string[] = []
    const request = store.openKeyCursor()
    request.onerror = () => reject(asError(request.error))
    request.onsuccess = () => {
      const cursor = request.result
      if (!cursor) return resolve(found)
      const [unit] = cursor.key as [string, number]
      found.push(unit)
      cursor.continue([unit, []])
    }
  })
}

/** The row with the highest key. */
function last(store: IDBObjectStore, range: IDBKeyRange): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = store.openCursor(range, 'prev')
    request.onerror = () => reject(asError(request.error))
    request.onsuccess = () => resolve(request.result?.value)
  })
}

/** Deletes so many rows of each unit, those that came first. */
function deleteOldest(store: IDBObjectStore, going: Map<string, number>): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = [...going.values()].reduce((sum, n) => sum + n, 0)
    const request = store.index('rx').openKeyCursor()
    request.onerror = () => reject(asError(request.error))
    request.onsuccess = () => {
      const cursor = request.result
      if (!cursor || left <= 0) return resolve()
      const [unit] = cursor.primaryKey as [string]
      const of = going.get(unit) ?? 0
      if (of > 0) {
        going.set(unit, of - 1)
        left -= 1
        store.delete(cursor.primaryKey)
      }
      cursor.continue()
    }
  })
}

function deleteAll(index: IDBIndex, range: IDBKeyRange | null, most: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = index.openCursor(range)
    let left = most
    request.onerror = () => reject(asError(request.error))
    request.onsuccess = () => {
      const cursor = request.result
      if (!cursor || left-- <= 0) return resolve()
      cursor.delete()
      cursor.continue()
    }
  })
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(asError(request.error))
  })
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onerror = () => reject(asError(transaction.error))
    transaction.onabort = () => reject(asError(transaction.error))
  })
}

function asError(error: DOMException | null): Error {
  return error ?? new Error('the database failed')
}
