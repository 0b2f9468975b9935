// A real Tawny that watches the bundled clips, a real broker, a real browser.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { PUBLIC, SECRET, shots, tawnyProgram, until, World } from './world.mjs'

/** Short ones, so that there is one soon. */
const CLIPS = '[evidence]\nclips = true\npre_roll = "1s"\npost_roll = "1s"\nclip_max = "6s"\n'

let world
let page
let tawny

before(async () => {
  world = await World.start()
  page = await world.tab()
  await page.goto(world.url)
  await page.waitForSelector('.pill[data-state=online]')
  tawny = await world.startTawny('gate', { loop: true, further: `operator_keys = ["ed25519:${PUBLIC} alice"]` })
})

after(async () => world?.end())

const text = (tab, selector) => tab.locator(selector).textContent()

/** The journal of a unit, as its own program tells it. */
async function journal(unit) {
  const { stdout } = await promisify(execFile)(tawnyProgram(), ['events', '--config', path.join(world.folder, `${unit}.toml`), '--format', 'jsonl'], { maxBuffer: 1e8 })
  return stdout.trimEnd().split('\n').map(withoutState)
}

/** An event, and its corrected time if it has one; how far it has come the page knows only of what has arrived. */
function withoutState(line) {
  const { state: _, ...event } = JSON.parse(line)
  return event
}

/** Every event of a unit that the page holds, from its own export. */
async function exported(tab) {
  await tab.locator('.menu summary').click()
  const [file] = await Promise.all([tab.waitForEvent('download'), tab.getByRole('button', { name: /JSON/ }).click()])
  const lines = (await readFile(await file.path(), 'utf8')).trimEnd().split('\n')
  return lines.map(withoutState).sort((a, b) => a.seq - b.seq)
}

/** The page's export, as soon as it is the unit's whole journal: the last events may still be on their way. */
async function assertHolds(tab, unit, stored) {
  await tab.goto(`${world.page}#/timeline?show=all&unit=${unit}`)
  await tab.locator('.timeline .count').waitFor()
  let held = []
  await until(async () => {
    held = await exported(tab)
    return held.length >= stored.length
  }, 'the whole journal').catch(() => {})
  assert.deepEqual(held, stored)
}

test('a crossing is on the page within seconds of happening', async () => {
  await page.waitForFunction(() => /1 watching|1watching/.test(document.querySelector('.tiles').textContent), null, { timeout: 60_000 })
  await page.goto(`${world.page}#/timeline?show=crossing`)
  await page.waitForSelector('.entry.crossing', { timeout: 90_000 })
  const row = await text(page, '.entry.crossing >> nth=0')
  assert.match(row, /(Car|Bus|Person|Truck|Van)(left|right)/)
  assert.match(row, /gate · (street|people) \/ line/)
  await page.screenshot({ path: `${shots}/story-timeline.png` })
})

test('a still takes the place of the drawing', async () => {
  await page.waitForSelector('.entry.crossing .thumb img[src^="blob:"]', { timeout: 60_000 })
  const width = await page.$eval('.entry.crossing .thumb img', async (image) => {
    await image.decode()
    return image.naturalWidth
  })
  assert.ok(width > 50)
})

test('a ping is answered', async () => {
  await page.goto(`${world.page}#/unit/gate`)
  await page.getByRole('button', { name: 'Ping' }).click()
  await until(async () => /Pingdone/.test(await text(page, '.replies')), 'the reply')
  await page.screenshot({ path: `${shots}/story-unit.png` })
})

test('a pause is sent only when it is signed, and obeyed when it is', async () => {
  await page.goto(`${world.page}#/unit/gate`)
  const pause = page.getByRole('button', { name: 'Pause', exact: true })
  assert.equal(await pause.isDisabled(), true)
  await page.getByText('Signing key').click()
  await page.getByLabel('The key’s file, or its secret').fill('not a key')
  await page.getByRole('button', { name: 'Hold for this session' }).click()
  await until(async () => /This is no key/.test(await text(page, '.key')), 'that it is no key')
  await page.getByLabel('The key’s file, or its secret').fill(SECRET)
  await page.getByRole('button', { name: 'Hold for this session' }).click()
  await until(async () => new RegExp(PUBLIC.slice(0, 12)).test(await text(page, '.key')), 'the key')
  assert.equal(await page.getByLabel('The key’s file, or its secret').inputValue(), '')
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage }))
  assert.ok(!kept.includes(SECRET))
  await pause.click()
  await page.locator('.confirm').getByRole('button', { name: /Pause gate/ }).click()
  await until(async () => /Pausedone/.test(await text(page, '.replies')), 'that it is done')
  await until(async () => /Paused until \d\d:\d\d/.test(await text(page, '.unit > .troubles')), 'the pause in its health')
  await page.screenshot({ path: `${shots}/story-paused.png` })
  await page.getByRole('button', { name: 'Resume' }).click()
  await until(async () => /Resumedone/.test(await text(page, '.replies')), 'that it is over')
  await until(async () => !/Paused until/.test(await text(page, '.unit > .troubles')), 'the end of the pause')
})

test('a browser that comes late fetches what was before it', async () => {
  const late = await world.tab()
  await late.goto(world.url)
  await late.waitForSelector('.pill[data-state=online]')
  await late.goto(`${world.page}#/unit/gate`)
  await until(async () => /from before this browser listened/.test(await text(late, '.part.numbers')), 'that something is missing')
  await late.getByRole('button', { name: 'Fetch them' }).click()
  await until(async () => /Nothing is missing/.test(await text(late, '.part.numbers')), 'all of it', 90)
  assert.deepEqual(late.complaints, [])
  await late.context().close()
})

test('a unit that is stopped is told from one that vanished, and the page holds its whole journal', async () => {
  await world.end(tawny)
  await page.goto(`${world.page}#/now`)
  await until(async () => /Stopped for/.test(await text(page, '[data-unit=gate]')), 'that it was stopped')
  const stored = await journal('gate')
  assert.ok(stored.some(({ kind }) => kind === 'crossing'))
  await assertHolds(page, 'gate', stored)
  tawny = await world.startTawny('gate')
  await page.goto(`${world.page}#/now`)
  await until(async () => /Watching/.test(await text(page, '[data-unit=gate] .state')), 'that it is back', 60)
  tawny.kill('SIGKILL')
  await until(async () => /Vanished without a word/.test(await text(page, '[data-unit=gate]')), 'that it vanished')
  await page.screenshot({ path: `${shots}/story-vanished.png` })
})

test('a unit that speaks CBOR is understood as one that speaks JSON', async () => {
  const short = await world.startTawny('short', { further: 'format = "cbor"', tables: '[evidence]\nclips = true\n', cameras: ['street'] })
  await until(() => short.exitCode !== null, 'the end of the clip', 90)
  const stored = await journal('short')
  assert.ok(stored.some(({ kind, what }) => kind === 'kept' && what === 'clip'))
  await assertHolds(page, 'short', stored)
})

test('a unit whose people are to be hidden sends no video, and says why', async () => {
  tawny = await world.startTawny('gate', { loop: true, further: `operator_keys = ["ed25519:${PUBLIC} alice"]`, tables: CLIPS })
  await page.evaluate(() => (location.hash = '#/unit/gate'))
  await until(async () => /Watching/.test(await text(page, '.unit-head .state')), 'that it is back', 60)
  if (!(await page.getByRole('button', { name: 'Let go of it' }).isVisible())) {
    await page.getByRole('button', { name: 'Give the key' }).click()
    await page.getByLabel('The key’s file, or its secret').fill(SECRET)
    await page.getByRole('button', { name: 'Hold for this session' }).click()
  }
  await page.evaluate(() => (location.hash = '#/timeline?show=housekeeping&unit=gate'))
  await page.locator('.entry', { hasText: 'Video is kept on the unit' }).first().getByRole('button').click({ timeout: 120_000 })
  await page.locator('dialog').getByRole('button', { name: /^Clip/ }).click()
  await until(async () => /refused: its configuration forbids it, because people could be recognised/.test(await text(page, 'dialog .fetch')), 'the refusal')
  await page.keyboard.press('Escape')
  await world.end(tawny)
})

test('a unit that is asked sends what it sees, a still again, and video', async () => {
  await world.startTawny('ford', {
    loop: true, cameras: ['street'], further: `operator_keys = ["ed25519:${PUBLIC} alice"]`,
    tables: `${CLIPS}[privacy]\npeople = "clear"\n`,
  })
  // A profile of its own: it has no still that came by itself.
  const tab = await world.tab()
  await tab.goto(world.url)
  await tab.waitForSelector('[data-unit=ford]')
  const go = async (hash) => {
    await tab.evaluate((address) => (location.hash = address), hash)
    await tab.locator(`main > .page.${/^#\/(\w+)/.exec(hash)[1]}`).waitFor()
  }
  await go('#/unit/ford')
  await tab.getByRole('button', { name: 'Give the key' }).click()
  await tab.getByLabel('The key’s file, or its secret').fill(SECRET)
  await tab.getByRole('button', { name: 'Hold for this session' }).click()
  await tab.getByLabel(/Draw lines/).check()
  const look = tab.locator('.cameras .fetch')
  await until(async () => {
    // On a busy machine no picture may be decoded in time: the unit says so, and one asks again.
    const again = look.getByRole('button', { name: 'Look now' })
    if (!(await look.locator('img').count()) && (await again.count())) await again.click()
    await tab.waitForTimeout(1000)
    return look.locator('img').count()
  }, 'a picture of now', 120)
  assert.ok((await look.locator('img').evaluate(async (image) => { await image.decode(); return image.naturalWidth })) >= 640)
  await tab.screenshot({ path: `${shots}/story-look.png` })
  await go('#/timeline?show=housekeeping&unit=ford')
  const film = tab.locator('.entry', { hasText: 'Video is kept on the unit' })
  await film.first().waitFor({ timeout: 120_000 })
  await film.first().getByRole('button').click()
  await tab.locator('dialog').getByRole('button', { name: /^Clip/ }).click()
  const video = tab.locator('dialog video')
  await video.waitFor({ timeout: 120_000 })
  const width = await video.evaluate(async (element) => {
    await element.play()
    while (element.currentTime < 0.3) await new Promise((resolve) => setTimeout(resolve, 50))
    return element.videoWidth
  })
  assert.ok(width > 100)
  await tab.screenshot({ path: `${shots}/story-clip.png` })
  await tab.keyboard.press('Escape')
  // The object that it shows leads to it, too, and to its picture at full size.
  await go('#/timeline?show=crossing&unit=ford')
  await tab.locator('.entry.crossing').last().getByRole('button').click()
  await tab.locator('dialog').getByRole('button', { name: 'Full size' }).click()
  await tab.locator('dialog .fetched img').waitFor({ timeout: 60_000 })
  assert.deepEqual(tab.complaints, [])
  await tab.context().close()
})

test('the page complained of nothing', () => assert.deepEqual(page.complaints, []))
