// How fast the page is with 100 units and 50,000 events. Prints figures; none of
// them is asserted. They depend on the machine: run it on a quiet one.
//
// usage: node test/browser/speed.mjs
import { cpus, loadavg } from 'node:os'
import { makeFleet } from './fleet.mjs'
import { publish, publishEvents } from './publish.mjs'
import { shots, until, World } from './world.mjs'

const world = await World.start()
const row = (what, value) => console.log(`${what.padEnd(62)} ${value}`)
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
/** What the page's main thread has worked since it was asked last, ms of processor time. */
let session
let worked = 0
const work = async () => {
  const { metrics } = await session.send('Performance.getMetrics')
  const total = metrics.find(({ name }) => name === 'TaskDuration').value * 1000
  const since = total - worked
  worked = total
  return since
}
const ms = (value) => `${Math.round(value)} ms`

try {
  const now = Date.now() - 60_000
  const { events, units } = makeFleet({ units: 100, events: 50_000, days: 7, now })
  row('units, events', `${units.length}, ${events.length}`)
  row('processors, and the load on them in the minute before', `${cpus().length}, ${loadavg()[0].toFixed(1)}`)
  for (const unit of units) await publish(world.mqttPort, `tawny/${unit.id}/health`, JSON.stringify(unit.health), { retain: true })
  for (const unit of units) await publish(world.mqttPort, `tawny/${unit.id}/status`, JSON.stringify(unit.status), { retain: true })

  const page = await world.tab()
  session = await page.context().newCDPSession(page)
  await session.send('Performance.enable', { timeDomain: 'threadTicks' })
  await page.goto(world.url)
  await page.waitForSelector('.pill[data-state=online]')
  row('transferred by the first visit, uncompressed', `${Math.round(world.sent / 1000)} kB`)
  await page.waitForTimeout(1000)

  // Into the page's own store, as if they had come over the weeks.
  for (let i = 0; i < events.length; i += 5000) {
    await page.evaluate((list) => new Promise((resolve, reject) => {
      const request = indexedDB.open('tawny')
      request.onsuccess = () => {
        const transaction = request.result.transaction('events', 'readwrite')
        for (const e of list) transaction.objectStore('events').put({ unit: e.unit, log: e.log, seq: e.seq, rx: Date.parse(e.t) + 900, json: JSON.stringify(e) })
        transaction.oncomplete = () => { request.result.close(); resolve() }
        transaction.onerror = () => reject(transaction.error)
      }
    }), events.slice(i, i + 5000))
  }

  // A week of health, too, as the page keeps it.
  for (const unit of units) {
    await page.evaluate(([id, raw, last]) => new Promise((resolve, reject) => {
      const request = indexedDB.open('tawny')
      request.onsuccess = () => {
        const transaction = request.result.transaction('health', 'readwrite')
        for (let i = 1; i <= 1008; i++) {
          const t = Math.floor(last / 600_000 - i) * 600_000
          transaction.objectStore('health').put({ unit: id, t, raw: { ...raw, t: new Date(t + 590_000).toISOString() } })
        }
        transaction.oncomplete = () => { request.result.close(); resolve() }
        transaction.onerror = () => reject(transaction.error)
      }
    }), [unit.id, unit.health, now])
  }

  const paints = []
  const ready = []
  const works = []
  for (let i = 0; i < 5; i++) {
    await page.goto('about:blank')
    await work()
    const began = Date.now()
    await page.goto(`${world.page}#/timeline?show=crossing`)
    await until(async () => /[1-9]/.test(await page.locator('.timeline .count').textContent()), 'the events')
    ready.push(Date.now() - began)
    works.push(await work())
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN))
  }
  row('first contentful paint, median of 5', ms(median(paints)))
  row('until all events are read from the store and shown, median of 5', `${ms(median(ready))}, ${ms(median(works))} of processor`)

  const frames = async (act) => {
    await page.evaluate(() => {
      window.frames_ = []
      let last = performance.now()
      const note = (at) => { window.frames_.push(at - last); last = at; window.loop_ = requestAnimationFrame(note) }
      window.loop_ = requestAnimationFrame(note)
    })
    await work()
    await act()
    const busy = await work()
    const list = await page.evaluate(() => { cancelAnimationFrame(window.loop_); return window.frames_.slice(2) })
    list.sort((a, b) => a - b)
    return `median ${ms(median(list))}, 95 % under ${ms(list[Math.floor(list.length * 0.95)])}, longest ${ms(list[list.length - 1])} (${list.length} frames); ${(busy / list.length).toFixed(1)} ms of processor each`
  }
  await page.goto(`${world.page}#/timeline?show=all`)
  await page.waitForTimeout(1500)
  await page.mouse.move(700, 500)
  row('frames while scrolling the timeline with the wheel, 5 s', await frames(async () => {
    for (let i = 0; i < 100; i++) {
      await page.mouse.wheel(0, i % 10 === 9 ? 20_000 : 500)
      await page.waitForTimeout(50)
    }
  }))
  row('rows in the page meanwhile', await page.locator('.list .rows > li').count())
  await page.screenshot({ path: `${shots}/speed-timeline.png` })

  const took = async (hash, selector) => {
    await page.goto(`${world.page}#/settings`)
    await page.waitForTimeout(700)
    await work()
    const wall = await drawn(hash, selector)
    return `${ms(wall)}, ${ms(await work())} of processor`
  }
  const drawn = (hash, selector) => page.evaluate(async ([address, wanted]) => {
    const began = performance.now()
    location.hash = address
    while (!document.querySelector(wanted)) await new Promise((resolve) => setTimeout(resolve, 1))
    // Until it is painted.
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
    return performance.now() - began
  }, [hash, selector])
  row('Timeline, drawn', await took('#/timeline', '.timeline .entry'))
  row('Pattern of 7 days, all units, drawn', await took('#/pattern?days=7', '.heat'))
  row('Unit, drawn', await took('#/unit/unit-042', '.strips'))
  await page.goto(`${world.page}#/now`)
  await page.waitForTimeout(1000)
  await page.screenshot({ path: `${shots}/speed-now.png` })
  row('cards on Now', await page.locator('.unit-card').count())
  row('frames while scrolling Now, 3 s', await frames(async () => {
    for (let i = 0; i < 60; i++) {
      await page.mouse.wheel(0, 300)
      await page.waitForTimeout(50)
    }
  }))

  const fresh = events.slice(-2000).map((e, i) => ({ ...e, unit: 'unit-001', seq: 1_000_000 + i, id: `fresh-${i}`, kind: 'boot', why: 'boot' }))
  await page.goto(`${world.page}#/timeline?show=housekeeping&unit=unit-001`)
  await page.waitForTimeout(800)
  const count = async () => Number((await page.locator('.timeline .count').textContent()).replace(/\D/g, ''))
  const before = await count()
  const began = Date.now()
  await publishEvents(world.mqttPort, fresh.slice(0, 900))
  await until(async () => (await count()) >= before + 900, 'the new events')
  row('900 events at once: from publishing to the screen, kept on disk', ms(Date.now() - began))
  await session.send('HeapProfiler.collectGarbage')
  row('memory of the page (JavaScript)', `${Math.round((await page.evaluate(() => performance.memory.usedJSHeapSize)) / 1e6)} MB`)
  row('the same at the end', loadavg()[0].toFixed(1))
} finally {
  await world.end()
}
