import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { clockGap } from '../../src/command/clocks.ts'
import { Commands, HOLD_AWAY_MS, HOLD_MS, type Standing } from '../../src/command/command.ts'
import { BadKey, holdKey, nextCounter, secretIn, signedPayload, signedText, Unsignable } from '../../src/command/key.ts'

const SECRET = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'

const UNTIL = Date.parse('2026-05-01T20:15:55.123Z')
const WORDING = { log: 'k3v7qa', boot: '0badcafe', id: 'example-1', n: 1777666000000, until: UNTIL, cmd: '{"do":"pause","for":"2h"}' }

test('the examples of the reference are signed as it says', async () => {
  const reference = readFileSync(new URL('../../../docs/reference/commands.md', import.meta.url), 'utf8')
  const key = await holdKey(SECRET)
  assert.equal(key.publicHex, PUBLIC)
  const unbound = { ...WORDING, boot: undefined }
  for (const wording of [WORDING, unbound]) {
    const payload = await signedPayload(key, 'tawny/gate', wording)
    const { sig } = JSON.parse(payload) as { sig: string }
    const text = signedText('tawny/gate', wording).replaceAll('\n', '\\n')
    assert.ok(reference.includes(`    ${text}\n`) || reference.includes(`  ${text}\n`), text)
    assert.ok(reference.includes(sig), sig)
    assert.ok(wording.boot === undefined || reference.includes(payload), payload)
  }
})

test('nothing that a broker says of a unit shifts the lines of what is signed', async () => {
  const lines = signedText('tawny/gate', WORDING).split('\n')
  assert.deepEqual(lines, ['tawny command v2', 'tawny/gate', 'k3v7qa', 'example-1', '1777666000000', WORDING.cmd, '2026-05-01T20:15:55.123Z 0badcafe'])
  const key = await holdKey(SECRET)
  const wrong: Partial<typeof WORDING>[] = [
    { log: 'k3v7qa\nx\n9007199254740991\n' }, { log: 'k3v7qa\n' }, { log: 'k\u2028' }, { log: '' }, { log: 'a'.repeat(65) },
    { boot: '0badcafe\n' }, { boot: '0BADCAFE' }, { boot: '' }, { id: 'a\nb' }, { cmd: '{}\n' }, { cmd: '\nx\n1\n{}' }, { cmd: '\u0085' },
    { n: 0 }, { n: 1.5 }, { n: Number.MAX_SAFE_INTEGER }, { n: 2 ** 53 }, { until: NaN }, { until: 1e300 }, { until: -1e14 }, { until: 3e14 },
  ]
  for (const part of wrong) {
    assert.throws(() => signedText('tawny/gate', { ...WORDING, ...part }), Unsignable, JSON.stringify(part))
    await assert.rejects(signedPayload(key, 'tawny/gate', { ...WORDING, ...part }), Unsignable)
  }
  for (const topic of ['tawny/gate\nk', 'tawny//gate', '', '+/gate']) assert.throws(() => signedText(topic, WORDING), Unsignable, topic)
})

test('a key is read from its file or alone', () => {
  assert.deepEqual(secretIn(`# The secret key …\nname = "alice"\npublic = "${PUBLIC}"\nsecret = "${SECRET}"\n`), { secret: SECRET, name: 'alice' })
  assert.equal(secretIn(` ${SECRET.toUpperCase()}\n`).secret, SECRET)
  for (const text of ['', 'hello', SECRET.slice(1), `public = "${PUBLIC}"`]) assert.throws(() => secretIn(text), BadKey)
})

test('counters rise, whatever the clock does', () => {
  assert.equal(nextCounter(0, 1_000.7), 1_000)
  assert.equal(nextCounter(1_000, 1_000), 1_001)
  assert.equal(nextCounter(5_000, 10), 5_001)
})

test('ping goes as it is; what changes something goes signed, or not at all', async () => {
  const published: Record<string, unknown>[] = []
  const held: (number | undefined)[] = []
  const used: number[] = []
  const units: Record<string, Standing> = {
    gate: { log: 'k3v7qa', boot: '0badcafe', away: false },
    asleep: { log: 'k3v7qa', away: true },
    forged: { log: 'k3v7qa\nx\n9007199254740991\n', boot: '0badcafe', away: false },
  }
  const commands = new Commands({
    publish: (_unit, payload, holdMs) => {
      published.push(JSON.parse(payload) as Record<string, unknown>)
      held.push(holdMs)
      return Promise.resolve()
    },
    topicOf: (unit) => `tawny/${unit}`,
    standingOf: (unit) => units[unit],
    counters: { last: () => used[used.length - 1] ?? 0, used: (_key, n) => used.push(n) },
  })
  await commands.send('gate', 'ping', {}, 1)
  assert.equal(published[0]?.['do'], 'ping')
  assert.equal((await commands.send('gate', 'pause', { for: '1h' }, 2)).state, 'failed')
  commands.key = await holdKey(SECRET)
  await commands.send('gate', 'pause', { for: '1h' }, 3)
  await commands.send('gate', 'resume', {}, 3)
  assert.deepEqual(used, [3, 4])
  assert.equal(published[1]?.['cmd'], '{"do":"pause","for":"1h"}')
  assert.equal((await commands.send('unheard', 'resume', {}, 5)).state, 'failed')
  // It holds for a while, longer for a unit that is away; the broker keeps it no longer.
  assert.equal(published[1]?.['until'], new Date(3 + HOLD_MS).toISOString())
  assert.equal(published[1]?.['boot'], '0badcafe')
  const sent = await commands.send('asleep', 'resume', {}, 6.5)
  assert.deepEqual([published[3]?.['until'], sent.until, 'boot' in (published[3] ?? {})], [new Date(6 + HOLD_AWAY_MS).toISOString(), 6 + HOLD_AWAY_MS, false])
  assert.deepEqual(held.map((ms) => ms === undefined ? ms : Math.round(ms)), [undefined, HOLD_MS, HOLD_MS, HOLD_AWAY_MS])
  // What must not be signed is not, and uses up no counter.
  const refused = await commands.send('forged', 'resume', {}, 7)
  assert.deepEqual([refused.state, published.length, used.length], ['failed', 4, 3])
  assert.match(refused.why ?? '', /what the broker says of the unit cannot be signed \('log'\)/)
})

test('commands given at once leave in the order of their counters', async () => {
  const left: number[] = []
  const key = await holdKey(SECRET)
  let slow = 5
  const commands = new Commands({
    publish: (_unit, payload) => Promise.resolve(void left.push((JSON.parse(payload) as { n: number }).n)),
    topicOf: String, standingOf: () => ({ log: 'a', away: false }), counters: { last: () => left[left.length - 1] ?? 0, used: () => {} },
  })
  // Each signature takes less time than the one before it.
  commands.key = { ...key, sign: async (text) => { await new Promise((resolve) => setTimeout(resolve, 3 * slow--)); return key.sign(text) } }
  await Promise.all([1, 2, 3, 4].map(() => commands.send('gate', 'resume', {}, 10)))
  assert.deepEqual(left, [10, 11, 12, 13])
})

test('only the unit that was asked can answer', async () => {
  const commands = new Commands({ publish: () => Promise.resolve(), topicOf: String, standingOf: () => ({ log: 'a', away: false }), counters: { last: () => 0, used: () => {} } })
  const { id } = await commands.send('gate', 'ping', {}, 1)
  const reply = { id, ok: true, raw: {} }
  assert.equal(commands.answer('other', id, reply, 2), undefined)
  assert.equal(commands.answer('gate', 'another', reply, 2), undefined)
  assert.equal(commands.answer('gate', id, reply, 2)?.state, 'ok')
})

test('clocks that differ are told where that may matter', () => {
  const at = (clockTs: string) => ({ t: 0, clockTs, cameras: [] })
  assert.equal(clockGap({ aheadMs: HOLD_MS }, at('ntp')), HOLD_MS)
  assert.equal(clockGap({ aheadMs: -HOLD_MS }, at('gps')), -HOLD_MS)
  // A second on the way, a unit that does not know the time, one that was not heard.
  assert.equal(clockGap({ aheadMs: 1_000 }, at('ntp')), undefined)
  assert.equal(clockGap({ aheadMs: HOLD_MS }, at('none')), undefined)
  assert.equal(clockGap({}, at('ntp')), undefined)
})
