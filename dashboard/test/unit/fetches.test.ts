import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Sent } from '../../src/command/command.ts'
import { BACK_MS, BUSY_MS, Fetches, LATE_MS, MOST_RUNNING, type Fetch, type Wanted } from '../../src/fetch/fetches.ts'
import { decodeReply } from '../../src/wire/decode.ts'
import { fileOf, MAX_FILE_BYTES } from '../../src/wire/file.ts'
import { bytes } from './make.ts'

const CLIP = { do: 'clip', of: 'c1' } as const
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

/** A film: the box that it begins with, and more. */
function film(n: number, fill = 1): Uint8Array {
  const data = new Uint8Array(n).fill(fill)
  data.set([0, 0, 0, 24, ...bytes('ftyp')])
  return data
}

/** The world around `Fetches`: what it sends, and a unit that answers as told. */
interface World {
  asked: { unit: string; what: string; further: Record<string, unknown>; id: string }[]
  listening: Set<string>
  done: Uint8Array[]
  online: boolean
  now: number
  fetches: Fetches
  /** The command sent last. */
  last: World['asked'][number]
  reply: (raw: Record<string, unknown>, unit?: string) => void
  announce: (data: Uint8Array, more?: Record<string, unknown>) => void
  /** Sends the parts from `from` up to `to`, as the wire has them. */
  parts: (data: Uint8Array, from?: number, to?: number) => void
}

function makeWorld(): World {
  const asked: World['asked'] = []
  const listening = new Set<string>()
  const done: Uint8Array[] = []
  const world: World = {
    asked, listening, done, online: true, now: 0,
    fetches: new Fetches({
      send: (unit, what, further, id) => {
        asked.push({ unit, what, further, id })
        return Promise.resolve({ state: 'sent' } as Sent)
      },
      listen: (unit, id) => Promise.resolve(void listening.add(`${unit} ${id}`)),
      unlisten: (unit, id) => void listening.delete(`${unit} ${id}`),
      online: () => world.online,
      sha256: (data) => Promise.resolve(sha256(data)),
      onDone: (_, data) => void done.push(data),
      onChange: () => {},
    }),
    get last() {
      return asked[asked.length - 1] as World['asked'][number]
    },
    reply(raw: Record<string, unknown>, unit = 'gate') {
      const { id } = world.last
      world.fetches.answer(unit, id, decodeReply(bytes(JSON.stringify({ id, ok: true, ...raw }))), world.now)
    },
    announce(data: Uint8Array, more: Record<string, unknown> = {}) {
      world.reply({ file: { type: 'video/mp4', bytes: data.length, sha256: sha256(data), from: 0, ...more } })
    },
    parts(data: Uint8Array, from = 0, to = data.length) {
      for (let at = from; at < to; at += 4096) world.fetches.part('gate', world.last.id, at, data.slice(at, Math.min(to, at + 4096)), world.now)
    },
  }
  return world
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))

async function started(wanted: Wanted = CLIP): Promise<{ world: World; fetch: Fetch }> {
  const world = makeWorld()
  const fetch = world.fetches.start('gate', wanted, 0)
  await settle()
  return { world, fetch }
}

test('a file is asked for, comes, is checked, and is there', async () => {
  const { world, fetch } = await started()
  const data = film(10_000)
  assert.deepEqual([world.last.unit, world.last.what, world.last.further], ['gate', 'clip', { of: 'c1' }])
  assert.deepEqual([...world.listening], [`gate ${world.last.id}`])
  world.announce(data)
  assert.equal(fetch.state, 'coming')
  world.parts(data)
  await settle()
  assert.equal(fetch.state, 'done')
  assert.equal(fetch.blob?.size, 10_000)
  assert.equal(fetch.blob.type, 'video/mp4')
  assert.deepEqual(world.done, [data])
  assert.equal(world.listening.size, 0)
})

test('asked for twice, it is sent once', async () => {
  const { world, fetch } = await started()
  assert.equal(world.fetches.start('gate', { do: 'clip', of: 'c1' }, 1), fetch)
  await settle()
  assert.equal(world.asked.length, 1)
})

test('parts that overtake the reply are kept', async () => {
  const { world, fetch } = await started()
  const data = film(9_000)
  world.parts(data)
  world.announce(data)
  await settle()
  assert.equal(fetch.state, 'done')
})

test('after the connection broke the rest is asked for, and only that', async () => {
  const { world, fetch } = await started()
  const data = film(20_000)
  world.announce(data)
  world.parts(data, 0, 8192)
  world.online = false
  world.fetches.link(false, 1)
  assert.equal(fetch.state, 'waiting')
  const before = world.last.id
  // The broker may hold the old subscription: a unit that is heard would go on sending.
  assert.ok(world.listening.has(`gate ${before}`))
  world.online = true
  world.fetches.link(true, 2)
  await settle()
  assert.notEqual(world.last.id, before)
  assert.deepEqual([...world.listening], [`gate ${world.last.id}`])
  assert.deepEqual(world.last.further, { of: 'c1', from: 8192 })
  // What still comes of the old command is of no interest.
  assert.equal(world.fetches.part('gate', before, 8192, data.slice(8192, 9000), 2), false)
  world.announce(data, { from: 8192 })
  world.parts(data, 8192)
  await settle()
  assert.equal(fetch.state, 'done')
  assert.deepEqual(world.done, [data])
})

test('a file that became another meanwhile is asked for from its beginning', async () => {
  const { world, fetch } = await started()
  const [old, data] = [film(20_000), film(16_000, 2)]
  world.announce(old)
  world.parts(old, 0, 8192)
  world.fetches.unitBack('gate', 1)
  await settle()
  world.announce(data, { from: 8192 })
  await settle()
  assert.deepEqual(world.last.further, { of: 'c1' })
  world.announce(data)
  world.parts(data)
  await settle()
  assert.deepEqual(world.done, [data])
  assert.equal(fetch.state, 'done')
})

test('a part that is missing at the end is asked for', async () => {
  const { world, fetch } = await started()
  const data = film(12_288)
  world.announce(data)
  world.parts(data, 0, 4096)
  world.parts(data, 8192)
  world.fetches.tick(LATE_MS - 1)
  await settle()
  assert.equal(world.asked.length, 1)
  world.fetches.tick(LATE_MS + 1)
  await settle()
  assert.deepEqual(world.last.further, { of: 'c1', from: 4096 })
  world.announce(data, { from: 4096 })
  world.parts(data, 4096, 8192)
  await settle()
  assert.equal(fetch.state, 'done')
})

test('what has the wrong checksum is not shown', async () => {
  const { world, fetch } = await started()
  const data = film(5_000)
  world.announce(data)
  world.parts(film(5_000, 2))
  await settle()
  assert.deepEqual([fetch.state, fetch.failure, fetch.blob], ['failed', 'damaged', undefined])
  assert.deepEqual(world.done, [])
})

test('what is not what it says it is is not shown', async () => {
  const { world, fetch } = await started()
  const data = bytes('<svg onload="alert(1)">')
  world.announce(data)
  world.parts(data)
  await settle()
  assert.deepEqual([fetch.state, fetch.failure], ['failed', 'unexpected'])
})

test('only what was asked for is taken, and nothing larger than the page can hold', async () => {
  const announced = async (file: unknown, wanted: Wanted = CLIP): Promise<string | undefined> => {
    const { world, fetch } = await started(wanted)
    world.reply({ file })
    return fetch.state === 'failed' ? fetch.failure : fetch.state
  }
  const good = { type: 'video/mp4', bytes: 100, sha256: 'a'.repeat(64), from: 0 }
  assert.equal(await announced(good), 'coming')
  assert.equal(await announced({ ...good, bytes: MAX_FILE_BYTES['video/mp4'] + 1 }), 'tooLarge')
  assert.equal(await announced({ ...good, type: 'image/jpeg' }), 'unexpected')
  assert.equal(await announced(good, { do: 'still', of: 's' }), 'unexpected')
  for (const bad of [undefined, null, 5, [], { ...good, type: 'text/html' }, { ...good, bytes: 0 }, { ...good, bytes: -1 }, { ...good, bytes: '100' },
    { ...good, bytes: 1e99 }, { ...good, bytes: 0.5 }, { ...good, sha256: 'A'.repeat(64) }, { ...good, sha256: 'a' }, { ...good, from: 101 }, { ...good, from: -1 }]) {
    assert.equal(await announced(bad), 'unreadable', JSON.stringify(bad))
    assert.equal(fileOf({ id: 'x', ok: true, raw: { file: bad } }), undefined)
  }
})

test('what comes early is bounded', async () => {
  const { world, fetch } = await started()
  for (let i = 0; i < 5_000; i++) world.fetches.part('gate', world.last.id, i * 4096, new Uint8Array(4096), 0)
  world.fetches.part('gate', world.last.id, 0, new Uint8Array(1_000_000), 0)
  assert.ok(fetch.early.length <= 256)
})

test('another unit, or another command, can neither answer nor send parts', async () => {
  const { world, fetch } = await started()
  const data = film(100)
  world.reply({ file: { type: 'video/mp4', bytes: 100, sha256: sha256(data), from: 0 } }, 'other')
  assert.equal(fetch.state, 'asking')
  world.announce(data)
  assert.equal(world.fetches.part('other', world.last.id, 0, data, 0), false)
  assert.equal(world.fetches.part('gate', 'web-0', 0, data, 0), false)
  assert.equal(fetch.assembly?.received, 0)
})

test('a refusal is told; a busy unit is asked again, but not for ever', async () => {
  const { world, fetch } = await started()
  world.reply({ ok: false, refused: 'privacy', why: 'no' })
  assert.deepEqual([fetch.state, fetch.refused, fetch.why], ['refused', 'privacy', 'no'])
  const other = world.fetches.start('gate', { do: 'clip', of: 'c2' }, 0)
  await settle()
  for (let i = 0; i < 20 && other.state !== 'refused'; i++) {
    world.reply({ ok: false, refused: 'busy' })
    world.now += BUSY_MS
    world.fetches.tick(world.now)
    await settle()
  }
  assert.deepEqual([other.state, other.refused], ['refused', 'busy'])
  assert.ok(world.asked.length < 10)
})

test('a unit that always begins anew is given up', async () => {
  const { world, fetch } = await started()
  for (let i = 0; i < 20 && fetch.state !== 'failed'; i++) {
    world.announce(film(20_000, i), { from: 9 })
    await settle()
  }
  assert.deepEqual([fetch.state, fetch.failure], ['failed', 'gaveUp'])
})

test('a picture of now is taken anew after a break', async () => {
  const wanted: Wanted = { do: 'still', cam: 'road', draw: true, width: 960 }
  const { world, fetch } = await started(wanted)
  assert.deepEqual(world.last.further, { cam: 'road', draw: true, width: 960 })
  const [first, second] = [1, 2].map((fill) => Uint8Array.from([0xff, 0xd8, 0xff, ...new Array<number>(6_000).fill(fill)])) as [Uint8Array, Uint8Array]
  world.announce(first, { type: 'image/jpeg' })
  world.parts(first, 0, 4096)
  world.fetches.unitBack('gate', 1)
  await settle()
  assert.deepEqual(world.last.further, { cam: 'road', draw: true, width: 960 })
  world.announce(second, { type: 'image/jpeg' })
  world.parts(second)
  await settle()
  assert.equal(fetch.state, 'done')
  assert.deepEqual(world.done, [second])
  assert.equal(world.fetches.lookOf('gate', 'road'), fetch)
})

test('what is cancelled is listened to no more, nor are there too many at a time', async () => {
  const world = makeWorld()
  const all = Array.from({ length: MOST_RUNNING + 1 }, (_, i) => world.fetches.start('gate', { do: 'clip', of: `c${i}` }, 0))
  await settle()
  assert.equal(all[MOST_RUNNING]?.failure, 'tooMany')
  assert.equal(world.listening.size, MOST_RUNNING)
  world.fetches.cancel(all[0] as Fetch)
  assert.equal(world.listening.size, MOST_RUNNING - 1)
  assert.equal(world.fetches.of('gate', { do: 'clip', of: 'c0' }), undefined)
  world.fetches.cancelAll()
  assert.equal(world.listening.size, 0)
})

test('a unit that is back and does not answer is asked again', async () => {
  const { world, fetch } = await started()
  world.fetches.tick(BACK_MS * 100)
  world.fetches.unitBack('gate', 1)
  world.fetches.tick(BACK_MS)
  await settle()
  assert.equal(world.asked.length, 1)
  world.fetches.tick(BACK_MS + 2)
  await settle()
  assert.deepEqual([world.asked.length, fetch.state], [2, 'asking'])
})

test('without a connection it waits for one', async () => {
  const world = makeWorld()
  world.online = false
  const fetch = world.fetches.start('gate', CLIP, 0)
  await settle()
  assert.deepEqual([fetch.state, world.asked.length], ['waiting', 0])
  world.online = true
  world.fetches.link(true, 1)
  await settle()
  assert.deepEqual([fetch.state, world.asked.length], ['asking', 1])
})
