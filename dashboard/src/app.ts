/**
 * The one place that knows all parts: messages from the link go through the
 * decoder into the fleet and the store; the pages are told that something
 * changed, and read what they show from here.
 */
import { Commands, type Sent, type Standing } from './command/command.ts'
import { counterUsed, lastCounter } from './command/counters.ts'
import { Fetches, type Fetch } from './fetch/fetches.ts'
import { forgetAll } from './keep/forget.ts'
import { forgetStore, MAX_EVENTS, Store } from './keep/store.ts'
import { isJpeg, sha256, Stills } from './keep/stills.ts'
import { Writer } from './keep/writer.ts'
import { Link, type Incoming, type LinkState } from './link/client.ts'
import { clientName, forgetLogin, KEEP_S, remember, type Broker } from './link/session.ts'
import * as asking from './model/asking.ts'
import { Fleet } from './model/fleet.ts'
import type { Range } from './model/numbers.ts'
import { presence } from './model/presence.ts'
import { loadSettings, saveSettings, type Settings } from './settings.ts'
import { decodeEvent, decodeHealth, decodeReply, decodeStatus } from './wire/decode.ts'
import { parseTopic, partsTopic, subscriptions, unitTopic } from './wire/topics.ts'

/** How many events are read from the store at a time. */
const PART = 4_000
const TRIM_MS = 3_600_000
/** After so many messages that are kept it is not waited for the next hour. */
const TRIM_AFTER = 2_000

export class App {
  readonly fleet = new Fleet()
  readonly stills = new Stills()
  readonly commands = new Commands({
    publish: (unit, payload, holdMs) => this.publishCommand(unit, payload, holdMs),
    topicOf: (unit) => unitTopic(this.broker?.prefix ?? '', unit),
    standingOf: (unit) => this.standingOf(unit),
    counters: { last: lastCounter, used: counterUsed },
  })
  /** Files that units were asked for. */
  readonly fetches = new Fetches({
    send: (unit, what, further, id) => this.send(unit, what, further, id),
    listen: (unit, id) => this.client?.subscribe(partsTopic(this.broker?.prefix ?? '', unit, id)) ?? Promise.reject(new Error('not connected')),
    unlisten: (unit, id) => this.client?.unsubscribe(partsTopic(this.broker?.prefix ?? '', unit, id)),
    online: () => this.link.is === 'online',
    sha256,
    onDone: (fetch, bytes) => this.fetched(fetch, bytes),
    onChange: () => this.changed(),
  })
  readonly settings: Settings = loadSettings()
  broker?: Broker
  link: LinkState = { is: 'off' }
  /** When what was kept has been read. */
  ready = false
  /** Whether the browser keeps anything on its disk. */
  keeps = true
  /** Crossings that arrived since the page was opened. */
  crossings = 0
  /** Messages that could not be read. */
  unreadable = 0
  /** Pictures that made room for those of other units. */
  letGo = 0
  private sinceTrim = 0
  /** Requests for missing events under way, by unit. */
  readonly asking = new Map<string, asking.Asking>()
  private client?: Link
  private store?: Store
  private writer = new Writer(undefined, () => {})
  /** Units whose health was read from the store. */
  private readonly loaded = new Set<string>()
  private readonly listeners = new Set<() => void>()
  private scheduled = false

  /** Calls back, at most once a frame, after anything changed, until what it gives is called. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  changed(): void {
    if (this.scheduled) return
    this.scheduled = true
    const tell = (): void => {
      this.scheduled = false
      for (const listener of this.listeners) listener()
    }
    // A hidden page has no frames; its title still counts.
    if (document.hidden) setTimeout(tell, 500)
    else requestAnimationFrame(tell)
  }

  /** Reads what this browser kept. */
  async restore(): Promise<void> {
    try {
      const store = await Store.open()
      this.store = store
      this.stills.store = store
      this.writer = new Writer(store, () => this.cannotKeep())
      const { status, health } = await store.units()
      for (const row of status) if (this.fleet.admits(row.unit)) this.fleet.takeStatus(row.unit, row.status)
      for (const row of health) if (this.fleet.admits(row.unit)) this.fleet.takeHealth(row.unit, row.health)
      this.stills.restore(await store.stillNames())
      this.changed()
      for await (const rows of store.events(PART)) {
        this.fleet.restore(rows.filter(({ e }) => this.fleet.admits(e.unit)))
        // Let the page answer between two parts.
        await new Promise((resolve) => setTimeout(resolve))
      }
      this.fleet.settle()
      this.trim()
      setInterval(() => this.trim(), TRIM_MS)
    } catch {
      this.cannotKeep()
    }
    this.ready = true
    this.changed()
  }

  /** Reads how a unit was, once: a page is about to show it. */
  loadHealth(unit: string): void {
    if (!this.ready || !this.store || this.loaded.has(unit)) return
    this.loaded.add(unit)
    void this.store.health(unit).then((list) => {
      this.fleet.restoreHealth(unit, list)
      this.changed()
    }, () => this.cannotKeep())
  }

  /** Keeps memory and disk within their bounds. */
  private trim(): void {
    this.fleet.book.trim(MAX_EVENTS)
    this.sinceTrim = 0
    const heavy = this.stills.letGoBeyond()
    this.letGo += heavy.length
    void this.store?.deleteStills(heavy).catch(() => this.cannotKeep())
    void this.store?.trim(Date.now()).then((stills) => {
      this.letGo += stills
    }, () => this.cannotKeep())
  }

  async connect(broker: Broker): Promise<void> {
    this.fetches.cancelAll()
    this.client?.close()
    this.broker = broker
    remember(broker)
    const { clientId, lasting } = await clientName(broker.keepPlace)
    this.client = new Link({
      url: broker.url,
      clientId,
      username: broker.username,
      password: broker.password,
      cleanStart: !lasting,
      sessionExpiryS: lasting ? KEEP_S : 0,
      subscriptions: subscriptions(broker.prefix),
      onState: (state) => {
        this.link = state
        this.fetches.link(state.is === 'online', Date.now())
        this.changed()
      },
      onMessage: (message) => this.receive(broker.prefix, message),
    })
    this.client.open()
  }

  disconnect(): void {
    this.client?.close()
    forgetLogin()
  }

  hurry(): void {
    this.client?.hurry()
  }

  setSettings(settings: Partial<Settings>): void {
    Object.assign(this.settings, settings)
    saveSettings(this.settings)
    this.changed()
  }

  async send(unit: string, what: string, further: Record<string, unknown> = {}, id?: string): Promise<Sent> {
    const sent = this.commands.send(unit, what, further, Date.now(), id)
    this.changed()
    const entry = await sent
    this.changed()
    return entry
  }

  /** Asks a unit for what is missing of its journal `log`. */
  ask(unit: string, log: string, ranges: readonly Range[]): void {
    this.asking.set(unit, asking.begin(log, ranges))
    this.goOnAsking()
  }

  /** To be called now and then: sends the requests whose turn it is. */
  goOnAsking(): void {
    this.fetches.tick(Date.now())
    for (const [unit, request] of this.asking) {
      const journal = this.fleet.book.journal(unit, request.log)
      const range = asking.next(request, Date.now(), (range) => journal.missing(range))
      if (range) void this.send(unit, 'resend', { log: request.log, ...range })
      if (asking.isDone(request)) {
        this.asking.delete(unit)
        this.changed()
      }
    }
  }

  /** Leaves nothing in this browser, nor anything of it at the broker. */
  async forgetEverything(): Promise<void> {
    this.writer.stop()
    this.client?.close(true)
    this.store?.close()
    await forgetAll([() => sessionStorage.clear(), () => localStorage.clear(), forgetStore], () => {
      location.replace(location.pathname)
      location.reload()
    })
  }

  private receive(prefix: string, { topic: name, payload, retained, done }: Incoming): void {
    const topic = parseTopic(prefix, name)
    const now = Date.now()
    if (topic && !this.fleet.admits(topic.unit)) {
      done()
      this.changed()
      return
    }
    if (topic?.is === 'event' || topic?.is === 'still') {
      // A large picture counts for several.
      this.sinceTrim += 1 + Math.floor(payload.length / 65_536)
      if (this.sinceTrim >= TRIM_AFTER) this.trim()
    }
    try {
      switch (topic?.is) {
        case 'event': {
          const e = decodeEvent(payload, topic.unit, topic.kind)
          if (!this.fleet.takeEvent(e, now)) break
          if (e.kind === 'crossing') this.crossings += 1
          this.writer.event({ unit: e.unit, log: e.log, seq: e.seq, rx: now, json: JSON.stringify(e) }, done)
          this.changed()
          return
        }
        case 'status': {
          const status = decodeStatus(payload)
          this.fleet.takeStatus(topic.unit, status)
          if (status.state === 'online' && !retained) {
            this.fetches.unitBack(topic.unit, now)
            this.fleet.book.journal(topic.unit, status.log).connected()
          }
          this.writer.status(topic.unit, status, done)
          this.changed()
          return
        }
        case 'health': {
          const health = decodeHealth(payload)
          if (!this.fleet.takeHealth(topic.unit, health, retained ? undefined : now)) break
          this.writer.health(topic.unit, health.t, health.raw, done)
          this.changed()
          return
        }
        case 'still':
          if (!isJpeg(payload)) throw new Error('not a JPEG')
          this.takeStill(topic.unit, topic.id, payload, done)
          return
        case 'part':
          // Not for long after it was cancelled, either: that is no fault.
          this.fetches.part(topic.unit, topic.id, topic.offset, payload, now)
          break
        case 'reply': {
          const reply = decodeReply(payload)
          const sent = this.commands.answer(topic.unit, topic.id, reply, now)
          if (sent) this.fetches.answer(topic.unit, topic.id, reply, now)
          const request = this.asking.get(topic.unit)
          if (request && sent?.what === 'resend' && !reply.ok) asking.refused(request, reply.raw['refused'], now)
          if (request?.current && sent?.what === 'resend' && reply.ok && reply.raw['log'] === request.log) {
            const journal = this.fleet.book.journal(topic.unit, request.log)
            for (const { from, to } of asking.without(reply.raw['without'], request.current)) journal.tellDenied(from, to)
          }
          break
        }
        default:
          break
      }
    } catch {
      // Whoever sent it: it is counted, left out, and not sent to us again.
      this.unreadable += 1
    }
    done()
    this.changed()
  }

  private takeStill(unit: string, id: string, bytes: Uint8Array, done: () => void): void {
    this.stills.add(unit, id, bytes)
    this.writer.still({ unit, id, rx: Date.now(), bytes }, done)
    this.changed()
  }

  /** A small still that was asked for again is kept like one that came by itself. */
  private fetched({ unit, wanted }: Fetch, bytes: Uint8Array): void {
    if (wanted.do === 'still' && 'of' in wanted && wanted.full !== true && isJpeg(bytes)) this.takeStill(unit, wanted.of, bytes, () => {})
  }

  private standingOf(unit: string): Standing | undefined {
    const heard = this.fleet.units.get(unit)?.heard
    if (!heard?.status) return undefined
    const { log, boot } = heard.status
    const { is } = presence(heard, Date.now())
    return { log, boot, away: is !== 'online' && is !== 'unknown' }
  }

  private publishCommand(unit: string, payload: string, holdMs?: number): Promise<void> {
    if (!this.client || !this.broker) return Promise.reject(new Error('not connected'))
    return this.client.publish(`${unitTopic(this.broker.prefix, unit)}/cmd`, payload, holdMs === undefined ? undefined : Math.max(1, Math.floor(holdMs / 1000)))
  }

  private cannotKeep(): void {
    this.keeps = false
    this.changed()
  }
}
