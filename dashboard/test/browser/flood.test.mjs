// One unit that sends as much as it can, beside one that does not: in a real
// Chromium and over a real broker.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { publish, publishEvents } from './publish.mjs'
import { until, World } from './world.mjs'

const NAMES = 6_000
let world
let page

before(async () => {
  world = await World.start()
  page = await world.tab()
  await page.goto(world.url)
  await page.waitForSelector('.pill[data-state=online]')
})

after(async () => {
  await world?.end()
})

const crossing = (unit, seq, more) => ({
  v: 1, unit, log: 'aaaa', seq, kind: 'crossing', t: new Date(Date.now() - 1000).toISOString(), tu: 5, ts: 'ntp', boot: '00000001', m: seq,
  id: `id-${seq}`, cam: 'c', grp: 'vehicle', cls: 'car', conf: 0.8, box: [0, 0, 0.1, 0.1], wire: 'w', dir: 'in', ...more,
})

test('a unit that floods neither empties nor freezes the page', async () => {
  await publishEvents(world.mqttPort, [crossing('quiet', 1, { cls: 'bus' })])
  await publishEvents(world.mqttPort, Array.from({ length: NAMES }, (_, i) => crossing('flood', i + 1, { dir: `d${i}`, cls: `c${i}` })))
  // 30,000 × 30,000 in a few bytes.
  const bomb = Buffer.from([0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0x75, 0x30, 0x75, 0x30, 1, 1, 0x11, 0, 0xff, 0xda, 0, 2, 0, 0xff, 0xd9])
  await publish(world.mqttPort, 'tawny/flood/still/id-1', bomb)
  const has = (text) => page.locator('main').textContent().then((all) => all.includes(text))
  await page.evaluate(() => { location.hash = '#/pattern' })
  // Where it draws a row and a column for each it never comes so far.
  await until(() => has(`${(NAMES + 1).toLocaleString('en-GB')} crossings`), 'all are counted', 120)
  await page.waitForSelector('table.figures')
  assert.equal(await page.locator('table.figures thead th').count(), 1 + 8 + 1)
  assert.equal(await page.locator('table.figures tbody tr').count(), 41)
  assert.ok(await has('others'))
  await page.evaluate(() => { location.hash = '#/now' })
  await page.waitForSelector('.page.now')
  assert.ok(await has('quiet'))
  assert.equal(await page.locator('img[src^="blob:"]').count(), 0, 'the bomb is not shown')
  assert.deepEqual(page.complaints, [])
})
