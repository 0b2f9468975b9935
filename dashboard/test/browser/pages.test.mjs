// Every page in a real Chromium against a real broker, with an invented fleet.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { violations } from './axe.mjs'
import { makeFleet } from './fleet.mjs'
import { publish, publishEvents, publishLines } from './publish.mjs'
import { settled, shots, until, World } from './world.mjs'

const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }
const PAGES = { now: '#/now', timeline: '#/timeline', pattern: '#/pattern', unit: '#/unit/ford' }

let world
let page
let fleet
let light

before(async () => {
  world = await World.start()
  page = await world.tab()
  fleet = makeFleet({ units: 6, events: 2000, days: 8, now: Date.now() - 60_000, names: ['ridge-north', 'quarry-gate', 'ford', 'old-sawmill', 'pass-east', 'river-camp'] })
  const ford = fleet.units[2]
  // The ford vanished two hours ago, and a few of its events were lost on the way.
  fleet.events = fleet.events.filter((e) => e.unit !== 'ford' || Date.parse(e.t) < Date.now() - 7_200_000)
  ford.seq = Math.max(...fleet.events.filter((e) => e.unit === 'ford').map((e) => e.seq))
  fleet.sent = fleet.events.filter((e) => e.unit !== 'ford' || e.seq < 21 || e.seq > 25)
  // What it said last the broker has kept.
  await tell(ford, 'offline', new Date(Date.now() - 7_200_000).toISOString())
  await connect(page)
  light = world.sent
  await publishEvents(world.mqttPort, fleet.sent)
  for (const unit of fleet.units) {
    if (unit === ford) continue
    if (unit.id === 'old-sawmill') unit.health.cameras[0].up = false
    await publishLines(world.mqttPort, `tawny/${unit.id}/health`, unit.history.slice(0, 47).map((health) => JSON.stringify(health)), 0)
    await tell(unit, unit.id === 'pass-east' ? 'asleep' : 'online', unit.health.t)
  }
  await page.goto(`${world.page}#/timeline?show=all`)
  await until(async () => (await entriesOf(page)) >= distinct(fleet.sent), `all ${distinct(fleet.sent)} entries`, 120)
})

after(async () => world?.end())

/** A unit's last words, kept by the broker. */
async function tell(unit, state, t) {
  const seq = unit.seq ?? unit.status.seq
  await publish(world.mqttPort, `tawny/${unit.id}/health`, JSON.stringify({ ...unit.health, t, seq, low: seq }), { retain: true })
  await publish(world.mqttPort, `tawny/${unit.id}/status`, JSON.stringify({ ...unit.status, state, seq, low: seq }), { retain: true })
}

async function connect(tab) {
  await tab.goto(world.url)
  await tab.waitForSelector('.pill[data-state=online]')
}

/** Goes to a page, until it shows what this browser holds. */
async function open(tab, hash) {
  await tab.goto(world.page + hash)
  const page = /^#\/(\w+)/.exec(hash)[1]
  await until(() => tab.evaluate(([name, query]) => {
    const shown = document.querySelector(`main > .page.${name}`)
    return location.hash.endsWith(query) && shown !== null && !/Reading what this browser kept/.test(shown.innerText)
  }, [page, hash]), `the page ${page}`)
}

/** Until the timeline counts so many entries. */
const counted = (tab, n) => until(async () => (await tab.locator('.timeline .count').count()) > 0 && (await entriesOf(tab)) === n, `${n} entries`)
/** How many it counts when no more come. */
const countOf = (tab) => settled(() => entriesOf(tab))
/** Until a text is as it should be. */
const reads = (locator, wanted) => until(async () => wanted.test((await locator.textContent()) ?? ''), String(wanted))

const entriesOf = async (tab) => Number((await tab.locator('.timeline .count').textContent()).replace(/\D/g, ''))

/** How many entries a list of events makes: an object with crossings is told by them. */
function distinct(events) {
  const crossed = new Set(events.filter((e) => e.kind === 'crossing').map((e) => e.id))
  return events.filter((e) => e.kind !== 'sighting' || (!crossed.has(e.id) && e.phase === 'start')).length
}

test('the first visit takes less than 300 kB, uncompressed', () => assert.ok(light < 300_000, `${light} bytes`))

for (const [name, hash] of Object.entries(PAGES)) {
  test(`${name}: passes axe in light and dark, on a desk and on a phone`, async () => {
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ['dark', 'light']) {
        await page.setViewportSize(viewport)
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        await open(page, hash)
        await page.screenshot({ path: `${shots}/${name}-${colorScheme}-${size}.png` })
        assert.deepEqual(await violations(page), [], `${size} ${colorScheme}`)
        const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.querySelector('main').scrollWidth > innerWidth)
        assert.equal(wide, false, `${name} is wider than a ${size}`)
      }
    }
    await page.setViewportSize(SIZES.desktop)
    await page.emulateMedia({ colorScheme: 'dark' })
  })
}

test('dialogs pass axe', async () => {
  await open(page, PAGES.timeline)
  await page.locator('.entry button').first().click()
  await page.screenshot({ path: `${shots}/detail.png` })
  assert.deepEqual(await violations(page), [])
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.screenshot({ path: `${shots}/settings.png` })
  assert.deepEqual(await violations(page), [])
  await page.keyboard.press('Escape')
  const other = await world.tab()
  await other.goto(world.page)
  await other.waitForSelector('dialog[open]')
  await other.screenshot({ path: `${shots}/connect.png` })
  assert.deepEqual(await violations(other), [])
  await other.context().close()
})

test('silence is as visible as an alarm', async () => {
  await open(page, PAGES.now)
  await reads(page.locator('[data-unit=ford]'), /Vanished for 2 h.*Vanished without a word.*5 events are missing here/s)
  await reads(page.locator('[data-unit=old-sawmill]'), /Camera road gives no pictures/)
  await reads(page.locator('[data-unit=pass-east]'), /Asleep for/)
  await reads(page.locator('.tiles'), /4watching.*1silent or gone.*1with a warning.*1asleep/s)
  assert.match(await page.locator('.unit-card').first().getAttribute('data-unit'), /ford|old-sawmill/)
})

test('the counts of the pattern are those of the timeline', async () => {
  await open(page, '#/pattern?days=7')
  const sum = (selector) => page.$$eval(selector, (cells) => cells.reduce((total, cell) => total + (Number(cell.textContent.replace(/\D/g, '')) || 0), 0))
  await settled(() => page.locator('.pattern').textContent())
  const crossings = await sum('.pattern .big')
  assert.ok(crossings > 100)
  assert.equal(await sum('.heat tbody td a'), crossings)
  assert.equal(await sum('.heat td.sum'), crossings)
  assert.equal(await sum('.figures tbody td.sum'), crossings)
  assert.equal(await sum('.figures tfoot td:not(.sum)'), crossings)
  assert.equal(await sum('.keys b'), crossings)
  // The class is the one at the crossing, as in the journal.
  const begin = await page.evaluate(() => new Date(new Date().setHours(0, 0, 0, 0)).setDate(new Date().getDate() - 6))
  const byClass = fleet.sent.filter((e) => e.kind === 'crossing' && Date.parse(e.t) >= begin).reduce((sums, { cls }) => ({ ...sums, [cls]: (sums[cls] ?? 0) + 1 }), {})
  const shown = await page.$$eval('.figures tbody tr', (rows) => Object.fromEntries(rows.map((row) => [row.querySelector('th').textContent.toLowerCase(), Number(row.querySelector('.sum').textContent)])))
  assert.deepEqual(shown, byClass)
  // Each figure leads to the entries that it counts.
  for (let row = 0; row < Object.keys(byClass).length; row++) {
    await open(page, '#/pattern?days=7')
    const cell = page.locator('.figures tbody tr').nth(row).locator('td a').first()
    const n = Number(await cell.textContent())
    await cell.click()
    await counted(page, n)
  }
})

/** The text of one of a page's exports. */
async function take(name) {
  await page.locator('.menu summary').click()
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()])
  return readFile(await file.path(), 'utf8')
}

test('the tables of the pattern can be had as files', async () => {
  await open(page, '#/pattern?days=7&unit=ridge-north')
  const shown = Number((await settled(() => page.locator('.pattern .big').textContent())).replace(/\D/g, ''))
  const sumOf = (csv, column) => {
    const [head, ...rows] = csv.trimEnd().split('\r\n').map((line) => line.split(','))
    return rows.reduce((sum, row) => sum + Number(row[head.indexOf(column)]), 0)
  }
  assert.equal(sumOf(await take('CSV, crossings by hour and day'), 'crossings'), shown)
  assert.equal(sumOf(await take('CSV, by class and direction'), 'total'), shown)
  const byDirection = await take('CSV, by direction over time')
  assert.equal(sumOf(byDirection, 'uphill') + sumOf(byDirection, 'downhill'), shown)
  assert.match(await take('CSV, convoys'), /^time_utc,/)
  assert.match(await take('CSV, out and back'), /^class,out_utc,/)
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport)
    await page.locator('.menu summary').click()
    await page.screenshot({ path: `${shots}/pattern-export-${size}.png` })
    // An open menu lies over what is below it.
    assert.deepEqual(await violations(page, '.filters'), [], size)
    await page.locator('.menu summary').click()
  }
  await page.setViewportSize(SIZES.desktop)
})

test('filters, and the export of what is on screen', async () => {
  await open(page, '#/timeline')
  await page.getByRole('button', { name: 'Sightings' }).click()
  await page.getByLabel('Unit', { exact: true }).selectOption('ridge-north')
  await page.getByLabel('What', { exact: true }).selectOption('vehicle')
  const expected = fleet.sent.filter((e) => e.unit === 'ridge-north' && e.kind === 'crossing' && e.grp === 'vehicle')
  await counted(page, expected.length)
  const csv = (await take(/CSV/)).trimEnd().split('\r\n')
  assert.equal(csv.length, expected.length + 1)
  assert.match(csv[0], /^time_utc,uncertainty_ms,/)
  const lines = (await take(/JSON/)).trimEnd().split('\n').map((line) => JSON.parse(line))
  for (const e of expected) assert.deepEqual(lines.find((line) => line.seq === e.seq), e)
  // When it watched belongs to what it saw.
  assert.deepEqual(new Set(lines.map(({ unit }) => unit)), new Set(['ridge-north']))
  assert.equal(lines.filter(({ kind }) => kind === 'watch').length, fleet.sent.filter((e) => e.unit === 'ridge-north' && e.kind === 'watch').length)
})

test('a copy changes nothing, a late event goes where it happened', async () => {
  await open(page, '#/timeline?show=all')
  await counted(page, distinct(fleet.sent))
  await publishEvents(world.mqttPort, fleet.sent.slice(-20))
  const late = fleet.events.filter((e) => e.unit === 'ford' && e.seq >= 21 && e.seq <= 25).slice(0, 2)
  await publishEvents(world.mqttPort, late)
  await open(page, '#/unit/ford')
  await reads(page.locator('.part.numbers'), /3 events are missing/)
  await open(page, '#/timeline?show=all')
  await counted(page, distinct([...fleet.sent, ...late]))
})

test('by keyboard alone: to the list, along it, into an event and back', async () => {
  await open(page, '#/timeline')
  await page.locator('.list').focus()
  const focused = () => page.evaluate(() => document.activeElement.closest('[data-key]')?.dataset.key)
  await page.keyboard.press('ArrowDown')
  const first = await until(focused, 'the first entry')
  await page.keyboard.press('ArrowDown')
  await until(async () => ![undefined, first].includes(await focused()), 'the second')
  await page.keyboard.press('ArrowUp')
  await until(async () => (await focused()) === first, 'the first again')
  await page.keyboard.press('End')
  await until(() => page.evaluate(() => { const list = document.querySelector('.list'); return list.scrollTop + list.clientHeight > list.scrollHeight - 100 }), 'the end of the list')
  await page.keyboard.press('Home')
  await until(async () => (await focused()) === first, 'the first entry again')
  await page.keyboard.press('Enter')
  await page.locator('dialog[open]').waitFor()
  const number = page.locator('.detail .facts div', { hasText: 'Number' }).locator('dd')
  const shown = await number.textContent()
  await page.keyboard.press('ArrowRight')
  await until(async () => (await number.textContent()) !== shown, 'an earlier event')
  await page.keyboard.press('ArrowLeft')
  await until(async () => (await number.textContent()) === shown, 'the first one again')
  await page.keyboard.press('Escape')
  await until(async () => (await page.locator('dialog[open]').count()) === 0, 'the dialog to close')
  await until(focused, 'the focus back in the list')
})

test('hostile payloads are text, and unreadable ones are left out', async () => {
  const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
  const last = fleet.events.filter((e) => e.unit === 'quarry-gate').at(-1)
  await publish(world.mqttPort, 'tawny/quarry-gate/event/crossing', JSON.stringify({ ...last, kind: 'crossing', id: evil, seq: 90_001, t: new Date().toISOString(), cls: evil, dir: evil, wire: evil, cam: evil, grp: 'vehicle', conf: 0.5, box: [0, 0, 1, 1] }))
  for (const payload of ['{', 'null', '[]', '{"v":1}', '\u0000', '{"v":1,"unit":"ford","log":"a","seq":1,"kind":"crossing","t":"2026-01-01T00:00:00.000Z"}']) {
    await publish(world.mqttPort, 'tawny/quarry-gate/event/crossing', payload)
  }
  await publish(world.mqttPort, 'tawny/quarry-gate/still/abc', '<svg onload=alert(1)>')
  await publish(world.mqttPort, 'tawny/<b>x/status', '{}')
  // Times that no calendar reaches: a clock wrong by ages, a pause that outlasts the universe.
  const far = Number.MAX_SAFE_INTEGER
  await publish(world.mqttPort, 'tawny/quarry-gate/event/clock', JSON.stringify({ ...last, kind: 'clock', id: undefined, seq: 90_002, t: new Date().toISOString(), ranges: [[1, far, far, far], [1, far, -far, far]], why: evil }))
  await publish(world.mqttPort, 'tawny/quarry-gate/health', JSON.stringify({ ...fleet.units[1].health, t: new Date().toISOString(), paused_s: 1e300, up_s: 1e300, clock: { ts: evil, tu: 1e300 } }))
  await open(page, '#/now')
  await until(async () => /Paused until \?/.test(await page.locator('[data-unit=quarry-gate]').textContent()), 'the pause')
  assert.equal(await page.locator('.unit-card').count(), fleet.units.length)
  await open(page, '#/timeline')
  await until(async () => (await page.locator('.entry').first().textContent()).includes('<img src=x'), 'the text of the tags')
  for (const hash of Object.values(PAGES)) await open(page, hash)
  await open(page, '#/unit/quarry-gate')
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.equal(await page.locator('main script, main img[src="x"]').count(), 0)
})

test('the policy forbids what the page does not need', async () => {
  const refused = await page.evaluate(async () => {
    const found = []
    try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>') } catch { found.push('html') }
    await fetch('http://127.0.0.1:9/').catch(() => found.push('fetch'))
    return found
  })
  assert.deepEqual(refused, ['html', 'fetch'])
})

test('of health no more is kept than is drawn, and it is read for the unit that is looked at', async () => {
  // As a unit that speaks all the time, or lies about when it does, may have left it.
  await page.evaluate((raw) => new Promise((resolve, reject) => {
    const request = indexedDB.open('tawny')
    request.onsuccess = () => {
      const transaction = request.result.transaction('health', 'readwrite')
      const at = Date.now() - 600_000
      for (let i = 0; i < 4000; i++) transaction.objectStore('health').put({ unit: 'ridge-north', t: at - i * 90_000, raw: { ...raw, t: new Date(at - i * 90_000).toISOString() } })
      transaction.oncomplete = () => resolve(request.result.close())
      transaction.onerror = () => reject(transaction.error)
    }
  }), fleet.units[0].health)
  const kept = () => page.evaluate(() => new Promise((resolve) => {
    const request = indexedDB.open('tawny')
    request.onsuccess = () => {
      const counted = request.result.transaction('health').objectStore('health').count(IDBKeyRange.bound(['ridge-north'], ['ridge-north', []]))
      counted.onsuccess = () => resolve(counted.result) || request.result.close()
    }
  }))
  assert.ok((await kept()) >= 4000)
  await page.goto('about:blank')
  await open(page, '#/unit/ridge-north')
  const begin = page.locator('.part.health .line-chart p span').first()
  await until(async () => (await begin.count()) > 0 && /^\w{3} \d+ \w{3} /.test((await begin.textContent()).replace(',', '')), 'figures from more than a day ago')
  await until(async () => (await kept()) <= 1500, 'the rest to go')
  assert.ok((await kept()) > 1000)
})

test('a reload, even without a broker, loses nothing', async () => {
  await open(page, '#/timeline?show=all')
  const before = await countOf(page)
  await world.stopBroker()
  await page.waitForSelector('.pill[data-state=waiting]')
  await reads(page.locator('.banner'), /No connection to the broker since/)
  await page.reload()
  await counted(page, before)
  await page.screenshot({ path: `${shots}/no-connection.png` })
  await world.startBroker()
  await page.waitForSelector('.pill[data-state=online]', { timeout: 45_000 })
})

test('messages that came while the page was closed are kept by the broker', async () => {
  await open(page, '#/timeline?show=crossing')
  const before = await countOf(page)
  await page.goto('about:blank')
  const e = fleet.events.filter((event) => event.unit === 'river-camp' && event.kind === 'crossing').at(-1)
  await publishEvents(world.mqttPort, [{ ...e, seq: 50_000, id: 'while-away', t: new Date().toISOString() }])
  await page.goto(`${world.page}#/timeline?show=crossing`)
  await counted(page, before + 1)
})

test('a broker that lets in but tells nothing is not taken for a quiet fleet', async () => {
  const strict = await World.start()
  try {
    await strict.stopBroker()
    const rules = path.join(strict.folder, 'rules.json')
    const defaultACLAccess = { publishClientSend: false, publishClientReceive: false, subscribe: false, unsubscribe: true }
    await writeFile(rules, JSON.stringify({ defaultACLAccess, clients: [], groups: [{ groupname: 'nobody', roles: [] }], roles: [], anonymousGroup: 'nobody' }), { mode: 0o600 })
    const [plugin] = (await readdir('/usr/lib')).map((folder) => `/usr/lib/${folder}/mosquitto_dynamic_security.so`).filter(existsSync)
    await strict.startBroker(`allow_anonymous true\nplugin ${plugin}\nplugin_opt_config_file ${rules}`)
    const tab = await world.tab()
    await tab.goto(strict.url)
    await tab.waitForSelector('.pill[data-state=refused]')
    await reads(tab.locator('.banner'), /does not let this login read/)
    await tab.screenshot({ path: `${shots}/refused.png` })
    assert.deepEqual(await violations(tab), [])
    await tab.context().close()
  } finally {
    await strict.end()
  }
})

test('the login is kept for the tab alone, and for its broker alone', async () => {
  const tab = await world.tab()
  await tab.goto(world.page)
  await tab.getByLabel('Address').fill(`ws://127.0.0.1:${world.wsPort}`)
  await tab.getByLabel('User name').fill('producer')
  await tab.getByLabel('Password').fill('hush-hush')
  await tab.locator('.connect [type=submit]').click()
  await tab.waitForSelector('.pill[data-state=online]')
  const storage = await tab.evaluate(async () => ({ local: JSON.stringify(localStorage), session: JSON.stringify(sessionStorage) }))
  assert.ok(!storage.local.includes('hush') && !storage.local.includes('producer'))
  assert.ok(storage.session.includes('hush-hush'))
  // A link to another broker: neither followed by itself nor given the login.
  const sockets = []
  tab.on('websocket', (socket) => sockets.push(socket.url()))
  await tab.goto('about:blank')
  await tab.goto(`${world.page}#/now?broker=wss://evil.example.org`)
  await tab.waitForSelector('dialog[open]')
  assert.equal(await tab.getByLabel('Password').inputValue(), '')
  assert.deepEqual(sockets, [])
  await tab.context().close()
})

test('forgetting leaves nothing behind', async () => {
  await open(page, '#/now')
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.getByRole('button', { name: 'Forget everything' }).click()
  await page.getByRole('button', { name: 'Forget', exact: true }).click()
  await page.waitForSelector('.connect[open]')
  const left = await page.evaluate(async () => {
    const { length: local } = localStorage
    const { length: session } = sessionStorage
    return { local, session, units: document.querySelectorAll('.unit-card').length }
  })
  assert.deepEqual(left, { local: 0, session: 0, units: 0 })
})

test('forgetting forgets the rest where the browser keeps no database', async () => {
  const tab = await world.tab()
  // As in some private windows.
  await tab.addInitScript(() => {
    const refuse = () => { throw new DOMException('refused', 'SecurityError') }
    Object.defineProperty(window, 'indexedDB', { value: { open: refuse, deleteDatabase: refuse } })
  })
  await tab.goto(world.page)
  await tab.getByLabel('Address').fill(`ws://127.0.0.1:${world.wsPort}`)
  await tab.getByLabel('User name').fill('producer')
  await tab.getByLabel('Password').fill('hush-hush')
  await tab.locator('.connect [type=submit]').click()
  await tab.waitForSelector('.pill[data-state=online]')
  await tab.getByRole('button', { name: 'Settings' }).click()
  await tab.getByText('This browser lets the page store nothing').waitFor()
  await tab.getByRole('button', { name: 'Forget everything' }).click()
  await tab.getByRole('button', { name: 'Forget', exact: true }).click()
  await tab.waitForSelector('.connect[open]')
  assert.deepEqual(await tab.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0])
  assert.equal(await tab.getByLabel('Password').inputValue(), '')
  assert.deepEqual(tab.complaints, [])
  await tab.context().close()
})

test('the page complained of nothing', () => {
  // But for what two of the tests did on purpose.
  const ours = /WebSocket connection to|ERR_CONNECTION_REFUSED|TrustedHTML|127\.0\.0\.1:9\/|Fetch API cannot load/
  assert.deepEqual(page.complaints.filter((text) => !ours.test(text)), [])
})
