import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Book } from '../../src/model/book.ts'
import { addDays, dayOf, hourOf, HOUR_MS } from '../../src/model/calendar.ts'
import { shares, watches } from '../../src/model/coverage.ts'
import { entries } from '../../src/model/entries.ts'
import { crossings, directions, heat, totals } from '../../src/model/pattern.ts'
import { returns } from '../../src/model/returns.ts'
import { directionsCsv, heatCsv, returnsCsv, totalsCsv } from '../../src/share/pattern-csv.ts'
import { crossing, event, T0 } from './make.ts'

const DAY = dayOf(T0, 'utc')
const week = { from: DAY - 6 * 24 * HOUR_MS, to: DAY + 24 * HOUR_MS }

function bookOf(list: ReturnType<typeof event>[]): Book {
  const book = new Book()
  book.addAll(list.map((e) => ({ e, rx: 0 })))
  return book
}

test('heat map, series and table add up to the same number', () => {
  const list = Array.from({ length: 137 }, (_, i) =>
    crossing(i + 1, -((i * 7919) % (6 * 86_400)), { dir: i % 3 === 0 ? 'in' : 'out', cls: ['car', 'truck', 'dog'][i % 4 % 3], grp: 'vehicle' }))
  const book = bookOf(list)
  for (const zone of ['utc', 'local'] as const) {
    const found = crossings(book, week)
    const map = heat(found, [], week, zone)
    assert.equal(map.days.reduce((sum, { total }) => sum + total, 0), 137)
    assert.equal(map.days.flatMap(({ cells }) => cells).reduce((sum, { n }) => sum + n, 0), 137)
    const series = directions(found, week, zone)
    assert.equal(series.directions.reduce((sum, { total }) => sum + total, 0), 137)
    const table = totals(found, series.directions.map(({ dir }) => dir))
    assert.equal(table.total, 137)
    assert.equal(table.rows.reduce((sum, { total }) => sum + total, 0), 137)
    assert.deepEqual(table.counts, series.directions.map(({ total }) => total))
  }
})

test('classes are counted as they were at the crossing, and each figure leads to what it counts', () => {
  const list = Array.from({ length: 40 }, (_, i) => [
    crossing(2 * i + 1, i * 60, { id: `o-${i}`, cls: ['car', 'truck', undefined][i % 3], dir: i % 2 ? 'in' : 'out' }),
    event(2 * i + 2, 'sighting', i * 60 + 5, { id: `o-${i}`, phase: 'end', grp: 'vehicle', cls: i % 5 === 0 ? 'bus' : 'car' }),
  ]).flat()
  const book = bookOf(list)
  const table = totals(crossings(book, week), ['in', 'out'])
  assert.deepEqual(table.rows.map(({ cls, total }) => [cls, total]), [['car', 14], ['truck', 13], ['vehicle', 13]])
  for (const { cls, counts } of table.rows) {
    // All trucks are vehicles: a group leads to all of it.
    if (cls === 'vehicle') continue
    assert.equal(crossings(book, { ...week, cls }).length, counts[0] as number + (counts[1] as number))
    counts.forEach((n, i) => assert.equal(entries(book, { ...week, sorts: new Set(['crossing']), cls, dir: table.directions[i] }).length, n, cls))
  }
})

test('an hour that nothing tells of is unknown, not quiet', () => {
  const iso = (at: number): string => new Date(at).toISOString()
  const book = bookOf([
    event(1, 'watch', 0, { cam: 'c', from: iso(DAY + 10 * HOUR_MS), to: iso(DAY + 11 * HOUR_MS), frames: 1, blind_s: 0 }),
    event(2, 'watch', 0, { cam: 'c', from: iso(DAY + 11 * HOUR_MS), to: iso(DAY + 12 * HOUR_MS), frames: 1, blind_s: 1800 }),
  ])
  const map = heat([], watches(book), { from: DAY, to: DAY + 24 * HOUR_MS }, 'utc')
  const cells = map.days[0]?.cells ?? []
  assert.deepEqual(cells[9]?.share, { told: 0, seen: 0 })
  assert.deepEqual(cells[10]?.share, { told: 1, seen: 1 })
  assert.deepEqual(cells[11]?.share, { told: 1, seen: 0.5 })
})

test('a moment is watched once, however often it is told', () => {
  const list = [{ unit: 'u', cam: 'c', from: 0, to: 60, seen: 1 }, { unit: 'u', cam: 'c', from: 30, to: 100, seen: 1 }]
  assert.deepEqual(shares(list, 0, 50, 3).map(({ told }) => told), [1, 1, 0])
  // Two cameras, one of which watched nothing then.
  assert.deepEqual(shares([...list, { unit: 'u', cam: 'd', from: 100, to: 150, seen: 1 }], 0, 50, 3).map(({ told }) => told), [0.5, 0.5, 0.5])
})

test('a corrected clock moves what was watched as well', () => {
  const iso = (at: number): string => new Date(at).toISOString()
  const book = bookOf([
    event(1, 'watch', 0, { cam: 'c', from: iso(T0 - HOUR_MS), to: iso(T0), frames: 1, blind_s: 0 }),
    event(2, 'clock', 0, { ranges: [[1, 1, HOUR_MS, 1]], why: '' }),
  ])
  assert.deepEqual(watches(book).map(({ from, to }) => [from, to]), [[T0, T0 + HOUR_MS]])
})

test('days have 23 and 25 hours where clocks change', () => {
  // The tests run in the zone of Berlin.
  const spring = dayOf(Date.UTC(2026, 2, 29, 12), 'local')
  const autumn = dayOf(Date.UTC(2026, 9, 25, 12), 'local')
  assert.equal(addDays(spring, 1, 'local') - spring, 23 * HOUR_MS)
  assert.equal(addDays(autumn, 1, 'local') - autumn, 25 * HOUR_MS)
  assert.equal(hourOf(Date.UTC(2026, 2, 29, 1), 'local'), 3)
  const filter = { from: spring, to: addDays(spring, 1, 'local') }
  const list = [0, 30, 60, 90, 120].map((min, i) => crossing(i + 1, (Date.UTC(2026, 2, 29, 0, min) - T0) / 1000))
  const book = bookOf(list)
  assert.equal(heat(crossings(book, filter), [], filter, 'local').days[0]?.total, 5)
})

test('up to two days are told by the hour, more by the day', () => {
  assert.equal(directions([], { from: DAY, to: DAY + 24 * HOUR_MS }, 'utc').edges.length, 25)
  assert.equal(directions([], week, 'utc').edges.length, 8)
})

test('the same class, the other way, hours later, is a pair; what fits better or not at all is not', () => {
  const hours = (h: number): number => h * 3600
  const book = bookOf([
    crossing(1, 0, { cls: 'truck', dir: 'out' }),
    crossing(2, 60, { cls: 'truck', dir: 'in' }), // too soon
    crossing(3, hours(2), { cls: 'car', dir: 'in' }), // another class
    crossing(4, hours(3), { cls: 'truck', dir: 'in', wire: 'other' }), // another line
    crossing(5, hours(5), { cls: 'truck', dir: 'in' }),
  ])
  const { pairs } = returns(book.events)
  assert.deepEqual(pairs.map(({ out, back, among }) => [out.e.seq, back.e.seq, among]), [[1, 5, 1]])
})

test('pairs are those of the report: by the class at the crossing, not looked for too far', () => {
  const end = (seq: number, id: string, cls: string): ReturnType<typeof event> => event(seq, 'sighting', 20_000 + seq, { phase: 'end', id, grp: 'vehicle', cls })
  const book = bookOf([
    crossing(1, 0, { id: 'a', cls: 'car', dir: 'out' }), crossing(2, 7200, { id: 'b', cls: 'car', dir: 'in' }), end(3, 'a', 'truck'),
  ])
  const found = crossings(book, week)
  assert.deepEqual(returns(found).pairs.map(({ cls, out }) => [cls, out.e.seq]), [['car', 1]])
  assert.equal(returns(found, 'vehicle').pairs.length, 1)
  assert.equal(returns(found, 'car').pairs.length, 1)
  assert.equal(returns(found, 'truck').pairs.length, 0)
  const busy = bookOf([...Array.from({ length: 220 }, (_, i) => crossing(i + 1, i, { dir: 'in' })), crossing(300, 7200, { dir: 'out' })])
  assert.deepEqual(returns(busy.events), { pairs: [], crowded: 1 })
  const busier = bookOf([crossing(1, 0, { dir: 'in' }), ...Array.from({ length: 205 }, (_, i) => crossing(i + 2, 1 + i, { dir: 'in', cls: 'car' })), crossing(300, 7200, { dir: 'out' }), crossing(301, 7300, { dir: 'out' })])
  assert.equal(returns(busier.events).crowded, 2)
})

test('nothing is paired twice, and a crowd says nothing', () => {
  const list = Array.from({ length: 40 }, (_, i) => crossing(i + 1, i * 60, { dir: i % 2 === 0 ? 'in' : 'out' }))
  const book = bookOf(list)
  const { pairs, crowded } = returns(book.events)
  assert.ok(crowded > 0)
  const used = pairs.flatMap(({ out, back }) => [out, back])
  assert.equal(new Set(used).size, used.length)
  assert.ok(pairs.every(({ among }) => among <= 4))
})

test('the tables as CSV hold the counts that are shown', () => {
  const list = Array.from({ length: 90 }, (_, i) => crossing(i + 1, -((i * 7919) % (6 * 86_400)), { dir: i % 3 === 0 ? 'in' : '=out', cls: i % 4 ? 'car' : 'truck' }))
  const iso = (at: number): string => new Date(at).toISOString()
  list.push(event(200, 'watch', 0, { cam: 'c', from: iso(DAY), to: iso(DAY + HOUR_MS), frames: 1, blind_s: 900 }))
  const book = bookOf(list)
  const found = crossings(book, week)
  for (const zone of ['utc', 'local'] as const) {
    const series = directions(found, week, zone)
    const table = totals(found, series.directions.map(({ dir }) => dir))
    const rows = (csv: string): string[][] => csv.trimEnd().split('\r\n').map((line) => line.split(','))
    const sum = (cells: (string | undefined)[]): number => cells.reduce((total, cell) => total + Number(cell), 0)
    const hours = rows(heatCsv(heat(found, watches(book), week, zone), T0, zone))
    assert.deepEqual(hours[0], ['day', 'hour', 'begin_utc', 'crossings', 'told', 'watched'])
    assert.equal(sum(hours.slice(1).map((row) => row[3])), 90)
    // Nothing of what has not been yet; the earliest first, in the zone of the page.
    assert.deepEqual(hours.at(-1)?.slice(0, 3), ['2026-05-01', zone === 'utc' ? '12' : '14', '2026-05-01T12:00:00.000Z'])
    assert.deepEqual(hours.find((row) => row[2] === iso(DAY))?.slice(4), ['1', '0.75'])
    const days = rows(directionsCsv(series, zone))
    assert.deepEqual(days[0], ['day', 'hour', 'begin_utc', "'=out", 'in'])
    assert.deepEqual([3, 4].map((column) => sum(days.slice(1).map((row) => row[column]))), table.counts)
    assert.equal(days.at(-1)?.[0], zone === 'utc' ? '2026-05-01' : '2026-05-02')
    const classes = rows(totalsCsv(table))
    assert.deepEqual(classes, [['class', "'=out", 'in', 'total'], ...table.rows.map(({ cls, counts, total }) => [cls, ...counts, total].map(String))])
  }
  const pair = bookOf([crossing(1, 0, { dir: 'out' }), crossing(2, 7200, { dir: 'in' })])
  assert.equal(returnsCsv(returns(pair.events).pairs).split('\r\n')[1], 'car,2026-05-01T12:00:00.000Z,out,2026-05-01T14:00:00.000Z,in,0,u,c,w')
})
