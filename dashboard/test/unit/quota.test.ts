import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isJpeg, Stills } from '../../src/keep/stills.ts'
import { Book } from '../../src/model/book.ts'
import { dayOf, HOUR_MS } from '../../src/model/calendar.ts'
import { Fleet, MAX_UNITS } from '../../src/model/fleet.ts'
import { crossings, directions, MOST_CLASSES, MOST_DIRECTIONS, totals } from '../../src/model/pattern.ts'
import { surplus } from '../../src/model/quota.ts'
import { MAX_PIXELS, pixelsOf } from '../../src/wire/jpeg.ts'
import { crossing, T0 } from './make.ts'

test('whoever has most lets go first, and no more than it takes', () => {
  const going = (counts: Record<string, number>, most: number): Record<string, number> => Object.fromEntries(surplus(new Map(Object.entries(counts)), most))
  assert.deepEqual(going({ flood: 5_000, a: 300, b: 20 }, 5_000), { flood: 320 })
  assert.deepEqual(going({ flood: 9_000, other: 9_000, a: 10 }, 5_010), { flood: 6_500, other: 6_500 })
  assert.deepEqual(going({ a: 3, b: 4 }, 7), {})
  assert.deepEqual(going({}, 7), {})
})

test('a unit that floods takes neither events nor pictures of another', () => {
  const book = new Book()
  const quiet = Array.from({ length: 50 }, (_, i) => ({ e: { ...crossing(i + 1, i), unit: 'quiet' }, rx: 0 }))
  const flood = Array.from({ length: 3_000 }, (_, i) => ({ e: { ...crossing(i + 1, 1_000 + i), unit: 'flood' }, rx: 0 }))
  book.addAll([...quiet, ...flood])
  book.trim(1_000)
  const of = (unit: string): number => book.events.filter(({ e }) => e.unit === unit).length
  assert.deepEqual([of('quiet'), of('flood')], [50, 950])
  const stills = new Stills()
  stills.add('quiet', 'x', new Uint8Array([0xff, 0xd8, 0xff, 0xd9, 1]))
  for (let i = 0; i < 5_000; i++) stills.add('flood', `s${i}`, new Uint8Array([0xff, 0xd8, 0xff, 0xd9, 1]))
  return stills.sha256('quiet', 'x').then((sum) => assert.equal(sum?.length, 64))
})

test('large pictures of one unit make room for the small ones of others', () => {
  const stills = new Stills()
  stills.add('quiet', 'x', new Uint8Array(1_000))
  for (let i = 0; i < 100; i++) stills.add('flood', `s${i}`, new Uint8Array(50_000))
  const gone = stills.letGoBeyond(1_000_000)
  assert.deepEqual([gone.length, gone[0], stills.count], [81, ['flood', 's0'], 20])
  assert.ok(stills.has('quiet', 'x') && stills.has('flood', 's99') && !stills.has('flood', 's0'))
  assert.deepEqual(stills.letGoBeyond(1_000_000), [])
})

test('twenty thousand names make no more columns and rows than eyes can follow, and all is counted', () => {
  const book = new Book()
  const day = dayOf(T0, 'utc')
  const week = { from: day, to: day + 24 * HOUR_MS }
  book.addAll(Array.from({ length: 20_000 }, (_, i) => ({ e: crossing(i + 1, i / 10, { dir: i % 3 === 0 ? 'in' : `d${i}`, cls: `c${i}` }), rx: 0 })))
  const list = crossings(book, week)
  const series = directions(list, week, 'utc')
  assert.equal(series.directions.length, MOST_DIRECTIONS)
  assert.equal(series.directions.reduce((sum, { total }) => sum + total, 0), 20_000)
  const most = Math.max(...series.directions.map(({ total }) => total))
  assert.equal(series.directions[series.directions.length - 1]?.dir, `${series.others} others`)
  assert.ok(most > 6_000 && series.others > 13_000)
  const table = totals(list, series.directions.map(({ dir }) => dir))
  assert.equal(table.rows.length, MOST_CLASSES + 1)
  assert.equal(table.rows.reduce((sum, { total }) => sum + total, 0), 20_000)
  assert.deepEqual(table.counts, series.directions.map(({ total }) => total))
})

test('units without end are counted, not shown', () => {
  const fleet = new Fleet()
  for (let i = 0; i < MAX_UNITS + 70; i++) if (fleet.admits(`u${i}`)) fleet.unit(`u${i}`)
  assert.deepEqual([fleet.units.size, fleet.strangers.size, fleet.admits('u5')], [MAX_UNITS, 70, true])
})

test('a picture that would unfold to gigabytes is none', () => {
  const jpeg = (width: number, height: number, before: number[] = []): Uint8Array => new Uint8Array([
    0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, ...before, 0xff, 0xc0, 0, 11, 8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0, 0xff, 0xda, 0, 2, 0])
  assert.equal(pixelsOf(jpeg(640, 360)), 640 * 360)
  assert.ok(isJpeg(jpeg(4_000, 3_000)))
  assert.ok(!isJpeg(jpeg(30_000, 30_000)))
  // Behind garbage, or behind a smaller one.
  assert.ok(!isJpeg(jpeg(30_000, 30_000, [0, 7, 0xff, 0xff])))
  assert.ok(!isJpeg(jpeg(30_000, 30_000, [0xff, 0xc2, 0, 11, 8, 1, 0, 1, 0, 1, 1, 0x11, 0])))
  assert.ok(MAX_PIXELS < 30_000 * 30_000 && pixelsOf(new Uint8Array([0xff, 0xd8, 0xff])) === 0)
})
