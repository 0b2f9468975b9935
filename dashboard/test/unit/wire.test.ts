import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from 'cborg'
import { BadPayload, decodeEvent, decodeHealth, decodeReply, decodeStatus } from '../../src/wire/decode.ts'
import { boxOf, correctionsOf, parseTime, type WireEvent } from '../../src/wire/event.ts'
import { isPrefix, parseTopic } from '../../src/wire/topics.ts'
import { bytes, crossing, event } from './make.ts'

const asBytes = (value: unknown): Uint8Array => bytes(JSON.stringify(value))

test('an event of its own topic is taken as it is', () => {
  const e = crossing(7, 1)
  assert.deepEqual(decodeEvent(asBytes(e), 'u', 'crossing'), e)
})

test('a unit cannot speak for another, nor on the topic of another kind', () => {
  assert.throws(() => decodeEvent(asBytes(crossing(7, 1)), 'other', 'crossing'), BadPayload)
  assert.throws(() => decodeEvent(asBytes(crossing(7, 1)), 'u', 'sighting'), BadPayload)
})

test('what is no event is refused', () => {
  const good = crossing(7, 1)
  const bad: unknown[] = [
    null, [], 'text', 5, { ...good, v: 2 }, { ...good, seq: 0 }, { ...good, seq: 1.5 }, { ...good, seq: '7' }, { ...good, log: '' },
    { ...good, log: 'x'.repeat(40) }, { ...good, t: 'yesterday' }, { ...good, t: 5 }, { ...good, t: '2026-02-30T99:00:00Z' },
  ]
  for (const value of bad) assert.throws(() => decodeEvent(asBytes(value), 'u', 'crossing'), BadPayload, JSON.stringify(value))
  assert.throws(() => decodeEvent(new Uint8Array(), 'u', 'crossing'), BadPayload)
  assert.throws(() => decodeEvent(bytes('{"v":1'), 'u', 'crossing'), BadPayload)
  assert.throws(() => decodeEvent(asBytes({ ...good, fill: 'x'.repeat(70_000) }), 'u', 'crossing'), BadPayload)
  assert.throws(() => decodeEvent(new Uint8Array([0x7b, 0xff, 0xfe]), 'u', 'crossing'), BadPayload)
})

test('a prototype in a payload changes nothing', () => {
  decodeEvent(bytes(JSON.stringify(crossing(7, 1)).replace('{', '{"__proto__":{"hacked":true},')), 'u', 'crossing')
  const map = new Map<string, unknown>([...Object.entries({ v: 1, unit: 'u', kind: 'boot', log: 'a', seq: 1, t: 0 }), ['__proto__', new Map([['hacked', true]])]])
  decodeEvent(encode(map), 'u', 'boot')
  assert.equal(({} as Record<string, unknown>)['hacked'], undefined)
})

test('CBOR says the same as JSON', () => {
  const id = '01931234-5678-7abc-8def-0123456789ab'
  const json: WireEvent = crossing(3, 0.25, { id, boot: '0a0b0c0d', conf: 0.87, box: [0.123, 0.4, 0.05, 1] })
  const short = { ...json, id: Uint8Array.from(id.replaceAll('-', '').match(/../g) ?? [], (pair) => parseInt(pair, 16)), t: Date.parse(json.t), boot: 0x0a0b0c0d, conf: 87, box: [123, 400, 50, 1000] }
  assert.deepEqual({ ...decodeEvent(encode(short), 'u', 'crossing') }, json)
})

test('times of a `watch` are times in CBOR, numbers of a `lost` stay numbers', () => {
  const t = Date.UTC(2026, 4, 1)
  const watch = decodeEvent(encode({ v: 1, unit: 'u', log: 'a', seq: 1, kind: 'watch', t, cam: 'c', from: t - 1000, to: t, frames: 10, blind_s: 5 }), 'u', 'watch')
  assert.equal(watch['from'], new Date(t - 1000).toISOString())
  assert.equal(watch['blind_s'], 0.5)
  const lost = decodeEvent(encode({ v: 1, unit: 'u', log: 'a', seq: 2, kind: 'lost', t, from: 4, to: 9 }), 'u', 'lost')
  assert.equal(lost['from'], 4)
})

test('a clip in CBOR: whose ids, until when', () => {
  const [id, other] = ['01931234-5678-7abc-8def-0123456789ab', '01931234-5678-7abc-8def-0123456789ac']
  const short = (uuid: string): Uint8Array => Uint8Array.from(uuid.replaceAll('-', '').match(/../g) ?? [], (pair) => parseInt(pair, 16))
  const t = Date.UTC(2026, 4, 1)
  const kept = decodeEvent(encode({ v: 1, unit: 'u', log: 'a', seq: 3, kind: 'kept', t, id: short(id), cam: 'c', what: 'clip', file: 'x.mp4', bytes: 9, to: t + 5000, of: [short(other), 5] }), 'u', 'kept')
  assert.deepEqual([kept['id'], kept['to'], kept['of']], [id, new Date(t + 5000).toISOString(), [other, 5]])
})

test('CBOR that is no event is refused', () => {
  for (const value of [[1, 2], { v: 1 }, 5]) assert.throws(() => decodeEvent(encode(value), 'u', 'boot'), BadPayload)
  assert.throws(() => decodeEvent(new Uint8Array([0xbf, 0x61]), 'u', 'boot'), BadPayload)
})

test('status, health and reply', () => {
  const status = decodeStatus(bytes('{"v":1,"state":"online","t":"2026-05-01T20:15:00.000Z","log":"k3v7qa","seq":812,"low":811,"boot":"1f0c6a2e","version":"0.1.0"}'))
  assert.deepEqual([status.state, status.seq, status.low, status.boot], ['online', 812, 811, '1f0c6a2e'])
  assert.equal(decodeStatus(bytes('{"state":"online","t":"2026-05-01T20:15:00.000Z","log":"a","seq":1,"boot":"1f0c6a2e\\n"}')).boot, undefined)
  assert.throws(() => decodeStatus(bytes('{"state":"on fire","t":"2026-05-01T20:15:00.000Z","log":"a","seq":1}')), BadPayload)
  assert.equal(decodeHealth(bytes('{"t":"2026-05-01T20:15:00.000Z","log":"a","seq":5,"low":4}')).low, 4)
  assert.equal(decodeHealth(bytes('{"t":"2026-05-01T20:15:00.000Z","log":"a","seq":"5"}')).log, undefined)
  assert.throws(() => decodeHealth(bytes('{"t":1}')), BadPayload)
  assert.equal(decodeReply(bytes('{"id":"x","ok":false,"why":"busy"}')).why, 'busy')
  assert.throws(() => decodeReply(bytes('{"id":"x"}')), BadPayload)
})

test('topics', () => {
  assert.deepEqual(parseTopic('a/b', 'a/b/u1/event/crossing'), { is: 'event', unit: 'u1', kind: 'crossing' })
  assert.deepEqual(parseTopic('tawny', 'tawny/u1/status'), { is: 'status', unit: 'u1' })
  assert.deepEqual(parseTopic('tawny', 'tawny/u1/still/0193-ab'), { is: 'still', unit: 'u1', id: '0193-ab' })
  assert.deepEqual(parseTopic('tawny', 'tawny/u1/part/web-1/4096'), { is: 'part', unit: 'u1', id: 'web-1', offset: 4096 })
  for (const offset of ['', '-1', '01', '1.5', '1e3', '99999999999', '4096/1']) assert.equal(parseTopic('tawny', `tawny/u1/part/web-1/${offset}`), undefined)
  for (const topic of ['tawny', 'tawny/u1', 'other/u1/status', 'tawny/u 1/status', 'tawny/u1/status/x', 'tawny/u1/event', 'tawny/u1/event/a/b', 'tawny/u1/cmd', `tawny/${'x'.repeat(40)}/status`]) {
    assert.equal(parseTopic('tawny', topic), undefined, topic)
  }
  assert.ok(isPrefix('tawny') && isPrefix('a/b.c') && !isPrefix('a//b') && !isPrefix('#') && !isPrefix('') && !isPrefix('a/+'))
})

test('values of a wrong type are as if they were absent', () => {
  assert.equal(boxOf(event(1, 'x', 0, { box: [1, 2, 3] })), undefined)
  assert.equal(boxOf(event(1, 'x', 0, { box: [0, 0, 'a', 1] })), undefined)
  assert.deepEqual(boxOf(event(1, 'x', 0, { box: [0, 0, 0.5, 1] })), [0, 0, 0.5, 1])
  assert.deepEqual(correctionsOf(event(1, 'clock', 0, { ranges: [[1, 2, 3], 'x', [1, 5, -200, 10]] })), [{ first: 1, last: 5, offsetMs: -200, tu: 10 }])
  assert.equal(parseTime('2026-05-01T20:15:00+02:00'), undefined)
})
