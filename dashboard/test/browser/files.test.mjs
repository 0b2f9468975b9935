// Pictures and clips that a unit is asked for, in a real Chromium and over a real
// broker. The unit is one of our own, so that it can do what a real one seldom does.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { violations } from './axe.mjs'
import { StubUnit } from './stub-unit.mjs'
import { PUBLIC, root, SECRET, shots, until, World } from './world.mjs'

const PHONE = { width: 390, height: 844 }
const DESK = { width: 1440, height: 900 }
const CAR = '01931234-5678-7abc-8def-000000000001'
const CLIP = '01931234-5678-7abc-8def-0000000000c1'
const SECRET_CLIP = '01931234-5678-7abc-8def-0000000000c2'
const GONE_CLIP = '01931234-5678-7abc-8def-0000000000c3'

let world
let page
let unit

before(async () => {
  world = await World.start()
  const clip = path.join(root, 'tests/data/clips/street.mp4')
  const make = async (name, ...args) => {
    const file = path.join(world.folder, name)
    await promisify(execFile)('ffmpeg', ['-v', 'error', '-i', clip, ...args, file])
    return readFile(file)
  }
  const still = ['-frames:v', '1', '-update', '1', '-pix_fmt', 'yuvj420p']
  const film = await make('clip.mp4', '-t', '4', '-c', 'copy', '-movflags', 'frag_keyframe+empty_moov+default_base_moof')
  unit = new StubUnit(world.mqttPort, 'gate', PUBLIC)
  unit.files.set('now road', { type: 'image/jpeg', data: await make('now.jpg', ...still, '-vf', 'scale=960:-2') })
  unit.files.set(`still ${CAR}`, { type: 'image/jpeg', data: await make('still.jpg', ...still, '-vf', 'crop=iw/3:ih/3,scale=480:-2') })
  unit.files.set(`full ${CAR}`, { type: 'image/jpeg', data: await make('full.jpg', ...still) })
  unit.files.set(`clip ${CLIP}`, { type: 'video/mp4', data: film })
  unit.files.set('now yard', { refused: 'missing', why: 'the unit is paused' })
  unit.files.set(`clip ${SECRET_CLIP}`, { refused: 'privacy' })
  await unit.connect()
  page = await world.tab()
  await page.goto(world.url)
  await page.waitForSelector('.pill[data-state=online]')
  const at = Date.now() - 120_000
  const about = { id: CAR, cam: 'road', grp: 'vehicle', cls: 'car', conf: 0.91, box: [0.36, 0.42, 0.2, 0.2] }
  await unit.event('sighting', at, { phase: 'start', ...about })
  await unit.event('crossing', at + 1500, { ...about, wire: 'line', dir: 'right' })
  await unit.event('sighting', at + 4000, { phase: 'end', ...about, dur: 4, why: 'left' })
  await unit.event('kept', at + 1000, { id: CAR, cam: 'road', what: 'still', file: 'a.jpg', bytes: 1, sha256: '0'.repeat(64) })
  for (const [i, id] of [CLIP, SECRET_CLIP, GONE_CLIP].entries()) {
    await unit.event('kept', at - 5000 + i, { id, cam: 'road', what: 'clip', file: `${id}.mp4`, bytes: film.length, sha256: '0'.repeat(64), to: new Date(at + 9000).toISOString(), of: [CAR] })
  }
})

after(async () => {
  await unit?.end()
  await world?.end()
})

const words = (view) => view.locator('[role=status]').textContent()
/** Another page of the same document: a reload would let go of the key. */
const open = async (hash) => {
  await page.evaluate((address) => {
    for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close()
    location.hash = address
  }, hash)
  await page.locator(`main > .page.${/^#\/(\w+)/.exec(hash)[1]}`).waitFor()
}
/** Opens the event of the car; each file in it is a `.fetch`. */
const openCar = async () => {
  await open('#/timeline?show=crossing')
  await page.locator('.entry.crossing button').first().click()
  return page.locator('dialog.detail')
}

test('without a key nothing can be asked for, and the page says where to give it', async () => {
  await open('#/unit/gate')
  await page.getByRole('button', { name: 'Look now' }).first().waitFor()
  assert.equal(await page.getByRole('button', { name: 'Look now' }).first().isDisabled(), true)
  await page.getByRole('button', { name: 'Give the key' }).click()
  await page.getByLabel('The key’s file, or its secret').fill(SECRET)
  await page.getByRole('button', { name: 'Hold for this session' }).click()
  await until(async () => page.getByRole('button', { name: 'Look now' }).first().isEnabled(), 'that it can be asked')
  await until(async () => !(await page.getByRole('button', { name: 'Give the key' }).isVisible()), 'the hint to go')
})

test('Look now shows what a camera sees, and puts it under the boxes', async () => {
  await open('#/unit/gate')
  await page.getByLabel(/Draw lines/).check()
  const road = page.locator('.cameras .fetch').first()
  await road.getByRole('button', { name: 'Look now' }).click()
  await road.locator('img').waitFor()
  assert.deepEqual(unit.commands.at(-1), { do: 'still', cam: 'road', draw: true, width: 960 })
  await until(async () => /Seen at \d\d:\d\d:\d\d/.test(await words(road)), 'when it was seen')
  assert.equal(await road.locator('img').evaluate(async (image) => { await image.decode(); return image.naturalWidth }), 960)
  await page.waitForSelector('.frame .picture img')
  await until(async () => /road, picture of \d\d:\d\d/.test(await page.locator('.frame figcaption').first().textContent()), 'what it is of')
  for (const [size, viewport] of Object.entries({ desktop: DESK, phone: PHONE })) {
    for (const colorScheme of ['dark', 'light']) {
      await page.setViewportSize(viewport)
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await road.scrollIntoViewIfNeeded()
      await page.screenshot({ path: `${shots}/look-${colorScheme}-${size}.png` })
      assert.deepEqual(await violations(page), [], `${size} ${colorScheme}`)
      assert.equal(await page.evaluate(() => document.querySelector('main').scrollWidth > innerWidth), false)
    }
  }
  await page.setViewportSize(DESK)
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
})

test('a camera that shows nothing is told in plain words', async () => {
  await open('#/unit/gate')
  const yard = page.locator('.cameras .fetch').nth(1)
  await yard.getByRole('button', { name: 'Look now' }).click()
  await until(async () => /refused: nothing to send: the unit is paused/.test(await words(yard)), 'the refusal')
})

test('a still that never came is fetched, shown and kept', async () => {
  const dialog = await openCar()
  assert.equal(await dialog.locator('.large img').count(), 0)
  await dialog.getByRole('button', { name: 'Picture again' }).click()
  await dialog.locator('.large img').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.entry.crossing .thumb img').waitFor()
})

test('a clip comes, plays, and can be saved', async () => {
  unit.pause = 60
  const dialog = await openCar()
  const view = dialog.locator('.fetch').nth(1)
  await view.getByRole('button', { name: /^Clip of \d\d:\d\d:\d\d, 14 s$/ }).click()
  await view.locator('progress').waitFor()
  await until(async () => /of .*[kM]B/.test(await view.locator('.so-far').textContent()), 'how far it is')
  await page.screenshot({ path: `${shots}/clip-coming.png` })
  assert.deepEqual(await violations(page), [])
  unit.pause = 0
  const video = view.locator('video')
  await video.waitFor({ timeout: 60_000 })
  const seen = await video.evaluate(async (element) => {
    await element.play()
    while (element.currentTime < 0.3) await new Promise((resolve) => setTimeout(resolve, 50))
    element.pause()
    return { width: element.videoWidth, error: element.error?.message }
  })
  assert.equal(seen.error, undefined)
  assert.ok(seen.width > 100)
  const [file] = await Promise.all([page.waitForEvent('download'), view.getByText('Save').click()])
  assert.match(file.suggestedFilename(), /^gate-road-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.mp4$/)
  assert.deepEqual(await readFile(await file.path()), unit.files.get(`clip ${CLIP}`).data)
  for (const [size, viewport] of Object.entries({ desktop: DESK, phone: PHONE })) {
    for (const colorScheme of ['dark', 'light']) {
      await page.setViewportSize(viewport)
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.screenshot({ path: `${shots}/clip-${colorScheme}-${size}.png` })
      assert.deepEqual(await violations(page), [], `${size} ${colorScheme}`)
    }
  }
  await page.setViewportSize(DESK)
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
})

test('what is refused, or gone, is told in plain words', async () => {
  const dialog = await openCar()
  const views = dialog.locator('.fetch')
  await views.nth(2).getByRole('button').first().click()
  await until(async () => /its configuration forbids it, because people could be recognised/.test(await words(views.nth(2))), 'privacy')
  await views.nth(3).getByRole('button').first().click()
  await until(async () => /nothing to send: refused: missing/.test(await words(views.nth(3))), 'that it is missing')
  await page.screenshot({ path: `${shots}/clip-refused.png` })
  assert.deepEqual(await violations(page), [])
})

test('what comes too late is told in plain words, and no journal is signed that is none', async () => {
  await open('#/unit/gate')
  const road = page.locator('.cameras .fetch').nth(0)
  const look = road.getByRole('button', { name: 'Look now' })
  unit.late = true
  await look.click()
  await until(async () => /it came too late \(it held until .*one of the two clocks is wrong/.test(await words(road)), 'that a clock is wrong')
  unit.late = false
  // What a broker can say of a unit so that another counter would be signed.
  const [before, { log }] = [unit.commands.length, unit]
  unit.log = `${log}\nx\n9007199254740991\n`
  await unit.tell('online')
  await until(async () => {
    await look.click()
    return /could not be sent: what the broker says of the unit cannot be signed \('log'\)/.test(await words(road))
  }, 'that it is not signed')
  unit.log = log
  await unit.tell('online')
  await look.click()
  await until(async () => /checksum right|Seen at/.test(await words(road)), 'the picture')
  assert.ok(unit.commands.slice(before).every(({ do: what }) => what === 'still'))
})

test('bytes that are not the ones announced are not shown', async () => {
  const dialog = await openCar()
  const full = dialog.locator('.fetch').nth(0)
  unit.spoil = (at, part) => (at === 4096 ? Buffer.alloc(part.length, 7) : undefined)
  await full.getByRole('button', { name: 'Full size' }).click()
  await until(async () => /its checksum is wrong/.test(await words(full)), 'that it is damaged')
  assert.equal(await full.locator('img').count(), 0)
  unit.spoil = undefined
  await full.getByRole('button', { name: 'Full size' }).click()
  await full.locator('img').waitFor()
})

test('after the connection broke only the rest is fetched', async () => {
  const { data } = unit.files.get(`clip ${CLIP}`)
  // Another clip of the same film, which was not fetched yet.
  unit.files.set(`clip ${GONE_CLIP}`, { type: 'video/mp4', data })
  unit.pause = 40
  unit.sent = 0
  const dialog = await openCar()
  const view = dialog.locator('.fetch').nth(3)
  await view.getByRole('button').first().click()
  await until(() => unit.sent > data.length / 3, 'a third of it')
  await world.stopBroker()
  await until(async () => /Goes on when the connection is back/.test(await words(view)), 'that it waits')
  await page.screenshot({ path: `${shots}/clip-waiting.png` })
  const before = unit.commands.length
  unit.pause = 0
  await world.startBroker()
  await unit.connect()
  await view.locator('video').waitFor({ timeout: 60_000 })
  // It may have to ask more than once, but never for what it has.
  const after = unit.commands.slice(before)
  assert.ok(after.length > 0)
  for (const { from } of after) assert.ok(from > 0 && from < data.length, `asked from ${from}`)
  await until(async () => /checksum right/.test(await words(view)), 'that it is whole')
  const [file] = await Promise.all([page.waitForEvent('download'), view.getByText('Save').click()])
  assert.deepEqual(await readFile(await file.path()), data)
})

test('clocks that differ by much are told beside the commands', async () => {
  await open('#/unit/gate')
  const clocks = page.locator('.part.commands .warn')
  assert.equal(await clocks.isHidden(), true)
  const t = new Date(Date.now() + 3_600_000).toISOString()
  await unit.publish('health', JSON.stringify({ v: 1, t, log: unit.log, seq: unit.seq, low: unit.seq, boot: '0badcafe', clock: { ts: 'ntp', tu: 8 }, cameras: [] }))
  await until(async () => /differ by (1 h|59 min)/.test(await clocks.textContent()), 'the difference')
})

test('the page complained of nothing', () => {
  // But for the broker that went away on purpose.
  assert.deepEqual(page.complaints.filter((text) => !/WebSocket connection to|ERR_CONNECTION_REFUSED/.test(text)), [])
})
