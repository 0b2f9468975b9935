import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Book, moved } from '../../src/model/book.ts'
import { clampTime, FURTHEST_MS, iso, isTime } from '../../src/model/calendar.ts'
import { entries, SORTS } from '../../src/model/entries.ts'
import { Fleet } from '../../src/model/fleet.ts'
import { toCsv } from '../../src/share/csv.ts'
import { correctionsOf } from '../../src/wire/event.ts'
import { decodeHealth } from '../../src/wire/decode.ts'
import { bytes, crossing, event, T0 } from './make.ts'

// The page's formats ask the browser for its language; Node.js has none to ask before 21.
if (!('navigator' in globalThis)) Object.defineProperty(globalThis, 'navigator', { value: { language: 'en-GB' } })

/** What a hostile unit may make of a time. */
const IMPOSSIBLE = [NaN, Infinity, -Infinity, 1e300, -1e300, 8.65e15, FURTHEST_MS, -FURTHEST_MS]

test('times are told from what no calendar reaches', () => {
  assert.ok(isTime(T0) && isTime(-T0) && isTime(0))
  for (const at of IMPOSSIBLE) assert.equal(isTime(clampTime(at)), false, String(at))
  assert.equal(iso(T0), '2026-05-01T12:00:00.000Z')
  for (const at of IMPOSSIBLE) assert.equal(iso(at), '?')
})

test('no time breaks a formatter', async () => {
  const format = await import('../../src/ui/format.ts')
  for (const at of IMPOSSIBLE) {
    for (const tell of ['clock', 'minute', 'day', 'shortDay', 'exact'] as const) assert.equal(format[tell](at), '?', `${tell} of ${at}`)
    assert.equal(format.moment(at, T0), '?')
    assert.equal(format.zoneName(at), '')
    assert.equal(format.fileName('u', 'c', at), 'u-c-unknown')
  }
  for (const ms of [NaN, Infinity, 1e300]) assert.equal(format.span(ms), '?')
  assert.equal(format.uncertainty(1e300), '±?')
  assert.match(format.exact(T0), /2026, \d\d:00:00/)
})

test('a correction by more than three hundred years corrects nothing, one by less moves what can be moved', () => {
  const far = Number.MAX_SAFE_INTEGER
  const ranges = [[1, 2, far, 5], [1, 2, -far, 5], [1, 2, 1e13 + 1, 5], [2, 2, 1e13, 5]]
  const clock = event(9, 'clock', 0, { ranges })
  assert.deepEqual(correctionsOf(clock).map(({ first, offsetMs }) => [first, offsetMs]), [[2, 1e13]])
  const book = new Book()
  for (const e of [crossing(1, 0), crossing(2, 0), clock]) book.add(e, T0)
  assert.deepEqual([book.get('u aaaa 1')?.at, book.get('u aaaa 2')?.at], [T0, T0 + 1e13])
  const csv = toCsv(entries(book, { sorts: new Set(SORTS) }))
  assert.match(csv, /2026-05-01T12:00:00\.000Z,5,,u,crossing/)
  const kept = book.get('u aaaa 2')
  assert.ok(kept && isTime(moved(kept, T0) ?? NaN))
})

test('a pause without end is a trouble like any other', () => {
  const fleet = new Fleet()
  fleet.takeHealth('u', decodeHealth(bytes(`{"t":"${iso(T0)}","paused_s":1e300}`)), T0)
  const [trouble] = fleet.view(fleet.unit('u'), T0).troubles
  assert.ok(trouble?.is === 'paused' && trouble.until === FURTHEST_MS)
})
