import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Commands } from '../../src/command/command.ts'
import { BadKey, holdKey, nextCounter, secretIn, signedPayload, signedText } from '../../src/command/key.ts'

const SECRET = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'

test('the example of the reference is signed as it says', async () => {
  const key = await holdKey(SECRET)
  assert.equal(key.publicHex, PUBLIC)
  const cmd = '{"do":"pause","for":"2h"}'
  assert.equal(signedText('tawny/gate', 'k3v7qa', 'example-1', 1, cmd), `tawny command v1\ntawny/gate\nk3v7qa\nexample-1\n1\n${cmd}`)
  assert.equal(
    await signedPayload(key, 'tawny/gate', 'k3v7qa', 'example-1', 1, cmd),
    `{"id":"example-1","log":"k3v7qa","n":1,"key":"${PUBLIC}","sig":"229642e13dd00638f8f96499ffbc4857325b909b89d8a87ae8a9a055f67e3d5de72de064e2a709afbd649a0f672a159f3749dc2005288143be03b4626a957b0d","cmd":"{\\"do\\":\\"pause\\",\\"for\\":\\"2h\\"}"}`,
  )
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
  const used: number[] = []
  const commands = new Commands({
    publish: (_unit, payload) => Promise.resolve(void published.push(JSON.parse(payload) as Record<string, unknown>)),
    topicOf: (unit) => `tawny/${unit}`,
    logOf: (unit) => (unit === 'gate' ? 'k3v7qa' : undefined),
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
})

test('commands given at once leave in the order of their counters', async () => {
  const left: number[] = []
  const key = await holdKey(SECRET)
  let slow = 5
  const commands = new Commands({
    publish: (_unit, payload) => Promise.resolve(void left.push((JSON.parse(payload) as { n: number }).n)),
    topicOf: String, logOf: () => 'a', counters: { last: () => left[left.length - 1] ?? 0, used: () => {} },
  })
  // Each signature takes less time than the one before it.
  commands.key = { ...key, sign: async (text) => { await new Promise((resolve) => setTimeout(resolve, 3 * slow--)); return key.sign(text) } }
  await Promise.all([1, 2, 3, 4].map(() => commands.send('gate', 'resume', {}, 10)))
  assert.deepEqual(left, [10, 11, 12, 13])
})

test('only the unit that was asked can answer', async () => {
  const commands = new Commands({ publish: () => Promise.resolve(), topicOf: String, logOf: () => 'a', counters: { last: () => 0, used: () => {} } })
  const { id } = await commands.send('gate', 'ping', {}, 1)
  const reply = { id, ok: true, raw: {} }
  assert.equal(commands.answer('other', id, reply, 2), undefined)
  assert.equal(commands.answer('gate', 'another', reply, 2), undefined)
  assert.equal(commands.answer('gate', id, reply, 2)?.state, 'ok')
})
