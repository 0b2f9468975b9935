import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stepOf } from '../../src/keep/store.ts'
import { Fleet, HEALTH_KEPT, HEALTH_STEP_MS } from '../../src/model/fleet.ts'
import { presence } from '../../src/model/presence.ts'
import { severity, troubles } from '../../src/model/trouble.ts'
import { backoffMs } from '../../src/link/backoff.ts'
import { decodeHealth, type Status } from '../../src/wire/decode.ts'
import { bytes, crossing, T0 } from './make.ts'

const MIN = 60_000
const status = (state: Status['state'], t: number): Status => ({ state, t, log: 'aaaa', seq: 3, low: 3, version: '' })
const health = (t: number, more: object = {}) => decodeHealth(bytes(JSON.stringify({ t: new Date(t).toISOString(), ...more })))

test('a unit that speaks is online; one that should have spoken is silent', () => {
  const heard = { status: status('online', T0), healthT: T0 + MIN, liveRx: T0 + MIN }
  assert.equal(presence(heard, T0 + 2 * MIN).is, 'online')
  assert.deepEqual(presence(heard, T0 + 10 * MIN), { is: 'silent', since: T0 + MIN })
  // One that speaks every half an hour is given longer.
  assert.equal(presence({ ...heard, intervalMs: 30 * MIN }, T0 + 60 * MIN).is, 'online')
})

test('a last will tells a unit that vanished from one that was stopped', () => {
  // The will carries the time of the connection, from before the last health.
  assert.deepEqual(presence({ status: status('offline', T0), healthT: T0 + 5 * MIN }, T0 + 9 * MIN), { is: 'vanished', since: T0 + 5 * MIN })
  assert.deepEqual(presence({ status: status('offline', T0 + 6 * MIN), healthT: T0 + 5 * MIN }, T0 + 9 * MIN), { is: 'stopped', since: T0 + 6 * MIN })
})

test('a unit that sleeps is not silent', () => {
  assert.equal(presence({ status: status('asleep', T0), healthT: T0 }, T0 + 600 * MIN).is, 'asleep')
})

test('a wrong clock that is ahead does not keep a dead unit alive', () => {
  const heard = { status: status('online', T0), healthT: T0 + 1e9, liveRx: T0 }
  assert.equal(presence(heard, T0 + 60 * MIN).is, 'silent')
})

test('what the broker held back while the browser was away does not make a unit live', () => {
  const fleet = new Fleet()
  fleet.takeStatus('u', status('offline', T0))
  fleet.takeHealth('u', health(T0 + MIN))
  fleet.takeEvent(crossing(1, 90), T0 + 500 * MIN)
  const view = fleet.view(fleet.unit('u'), T0 + 500 * MIN)
  assert.deepEqual(view.presence, { is: 'vanished', since: T0 + 90_000 })
})

test('the interval of health messages is learnt from those that come live', () => {
  const fleet = new Fleet()
  for (const i of [0, 10, 20, 30]) fleet.takeHealth('u', health(T0 + i * MIN), T0 + i * MIN)
  assert.equal(fleet.unit('u').heard.intervalMs, 10 * MIN)
})

test('how far the two clocks are apart is learnt from what comes live alone', () => {
  const fleet = new Fleet()
  fleet.takeHealth('u', health(T0), T0 + 7 * MIN)
  fleet.takeHealth('u', health(T0 + 60 * MIN))
  assert.equal(fleet.unit('u').heard.aheadMs, 7 * MIN)
})

test('an old health message changes nothing', () => {
  const fleet = new Fleet()
  fleet.takeHealth('u', health(T0 + MIN, { temp_c: 50 }), T0)
  fleet.takeHealth('u', health(T0, { temp_c: 20 }), T0)
  assert.equal(fleet.unit('u').condition?.tempC, 50)
})

test('how a unit was goes before what is known of it, and is no more than is kept', () => {
  const fleet = new Fleet()
  fleet.takeHealth('u', health(T0 + 10 * MIN), T0)
  assert.equal(fleet.takeHealth('u', health(T0 + 10 * MIN), T0), false)
  fleet.takeHealth('u', health(T0 + 20 * MIN), T0)
  // The store has the last one, too.
  fleet.restoreHealth('u', [-20, -10, 0, 10, 20].map((min) => health(T0 + min * MIN)))
  assert.deepEqual(fleet.unit('u').history.map(({ t }) => (t - T0) / MIN), [-20, -10, 0, 10, 20])
  assert.equal(fleet.unit('u').condition?.t, T0 + 20 * MIN)
  fleet.restoreHealth('u', Array.from({ length: 5000 }, (_, i) => health(T0 - (9000 - i) * MIN)))
  assert.equal(fleet.unit('u').history.length, HEALTH_KEPT)
  assert.deepEqual([0, HEALTH_STEP_MS - 1, HEALTH_STEP_MS].map((ms) => stepOf(T0 + ms) - T0), [0, 0, HEALTH_STEP_MS])
})

test('health keys of a wrong type are not known', () => {
  const fleet = new Fleet()
  fleet.takeHealth('u', health(T0, { temp_c: 'hot', clock: 5, cameras: [null, { name: 'a', up: 'yes' }, { up: true }], journal: { queued: 7 } }), T0)
  const condition = fleet.unit('u').condition
  assert.equal(condition?.tempC, undefined)
  assert.equal(condition?.queued, 7)
  assert.deepEqual(condition?.cameras.map(({ name, up }) => [name, up]), [['a', undefined]])
})

test('gaps are told by status and by health', () => {
  const fleet = new Fleet()
  fleet.takeEvent(crossing(1, 0), T0)
  fleet.takeStatus('u', { ...status('online', T0), seq: 3, low: 3 })
  assert.equal(fleet.missing('u'), 2)
  fleet.takeEvent(crossing(3, 0), T0)
  fleet.takeEvent(crossing(2, 0), T0)
  assert.equal(fleet.missing('u'), 0)
  fleet.takeHealth('u', health(T0, { log: 'aaaa', seq: 6, low: 5 }), T0)
  assert.equal(fleet.missing('u'), 2)
})

test('units that need somebody come first', () => {
  const fleet = new Fleet()
  for (const id of ['a', 'b', 'c10', 'c9']) {
    fleet.takeStatus(id, status('online', T0))
    fleet.takeHealth(id, health(T0, id === 'b' ? { cameras: [{ name: 'x', up: false }] } : id === 'c10' ? { temp_c: 90 } : {}), T0)
  }
  assert.deepEqual(fleet.views(T0).map(({ unit, severity: level }) => `${unit.id}${level}`), ['b2', 'c101', 'a0', 'c90'])
})

test('of a unit that is gone nothing is told that may long have changed', () => {
  const condition = { t: T0, cameras: [{ name: 'x', up: false }], tempC: 99 }
  assert.deepEqual(troubles({ is: 'silent', since: 0 }, condition, 0).map(({ is }) => is), ['silent'])
  assert.equal(severity([{ is: 'gaps', n: 3 }]), 1)
  assert.equal(severity([]), 0)
})

test('the wait between tries doubles to half a minute and never vanishes', () => {
  assert.deepEqual([0, 1, 2, 5, 9, 50].map((n) => backoffMs(n, 1)), [1000, 2000, 4000, 30_000, 30_000, 30_000])
  assert.equal(backoffMs(0, 0), 500)
})
