import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Journal, Numbers, count, type Range } from '../../src/model/numbers.ts'
import * as asking from '../../src/model/asking.ts'

test('numbers in any order say the same as a set', () => {
  // A small generator of random numbers: the same sequence at each run.
  let state = 12345
  const random = (n: number): number => (state = (state * 1103515245 + 12345) & 0x7fffffff) % n
  for (let round = 0; round < 200; round++) {
    const numbers = new Numbers()
    const set = new Set<number>()
    for (let i = 0; i < 60; i++) {
      const from = 1 + random(50)
      const to = random(3) === 0 ? from + random(8) : from
      let fresh = false
      for (let n = from; n <= to; n++) {
        fresh ||= !set.has(n)
        set.add(n)
      }
      assert.equal(numbers.addRange(from, to), fresh)
    }
    const missing: number[] = []
    for (const { from, to } of numbers.missing(5, 40)) for (let n = from; n <= to; n++) missing.push(n)
    assert.deepEqual(missing, Array.from({ length: 36 }, (_, i) => i + 5).filter((n) => !set.has(n)))
    for (let n = 1; n < 60; n++) assert.equal(numbers.has(n), set.has(n))
    assert.equal(numbers.first, Math.min(...set))
  }
})

test('a number missing at or below `low` is a gap, above it merely late', () => {
  const journal = new Journal()
  for (const n of [1, 2, 5, 9]) journal.arrived.add(n)
  journal.tell(9, 6)
  assert.deepEqual(journal.gaps(), { gaps: [{ from: 3, to: 4 }, { from: 6, to: 6 }], earlier: [], lost: [] })
})

test('what a `lost` event speaks of is told apart until the unit was asked and does not hold it', () => {
  const journal = new Journal()
  for (const n of [1, 9, 10]) journal.arrived.add(n)
  journal.tellLost(3, 6)
  journal.tell(10, 10)
  const gaps = [{ from: 2, to: 2 }, { from: 7, to: 8 }]
  assert.deepEqual(journal.gaps(), { gaps, earlier: [], lost: [{ from: 3, to: 6 }] })
  assert.deepEqual(journal.missing({ from: 1, to: 10 }), [{ from: 2, to: 8 }], 'it is asked for')
  const answer = [[1, 3], [6, 99], ['x', 2], 7, [5, 4]]
  for (const { from, to } of asking.without(answer, { from: 2, to: 8 })) journal.tellDenied(from, to)
  assert.deepEqual(journal.gaps(), { gaps, earlier: [], lost: [{ from: 4, to: 5 }] })
  journal.arrived.add(4)
  journal.tellLost(7, 7)
  assert.deepEqual(journal.gaps(), { gaps: [{ from: 2, to: 2 }, { from: 8, to: 8 }], earlier: [], lost: [{ from: 5, to: 5 }] })
  journal.connected()
  assert.deepEqual(journal.gaps().lost, [{ from: 3, to: 3 }, { from: 5, to: 7 }], 'in its next connection it has to say so again')
  assert.deepEqual(asking.without('all of them', { from: 1, to: 9 }), [])
})

test('what happened before this browser listened is told apart', () => {
  const journal = new Journal()
  journal.arrived.add(100)
  journal.tell(102, 101)
  assert.deepEqual(journal.gaps(), { gaps: [{ from: 101, to: 101 }], earlier: [{ from: 1, to: 99 }], lost: [] })
  const silent = new Journal()
  silent.tell(40, 40)
  assert.deepEqual(silent.gaps(), { gaps: [], earlier: [{ from: 1, to: 40 }], lost: [] })
})

test('`low` never goes back', () => {
  const journal = new Journal()
  journal.arrived.add(1)
  journal.tell(9, 9)
  journal.tell(9, 2)
  assert.equal(count(journal.gaps().gaps), 8)
})

test('requests go out one at a time, each when the one before has come', () => {
  const there = new Set<number>()
  const missing: asking.Missing = ({ from, to }) => {
    const list: Range[] = []
    for (let i = from; i <= to; i++) if (!there.has(i)) list.push({ from: i, to: i })
    return list
  }
  const request = asking.begin('a', [{ from: 1, to: 2 }, { from: 5, to: 5 }, { from: 8, to: 9 }])
  assert.deepEqual(asking.next(request, 0, missing), { from: 1, to: 2 })
  assert.equal(asking.next(request, 1000, missing), undefined)
  there.add(1).add(2).add(5)
  // 5 came by itself: it is not asked for.
  assert.deepEqual(asking.next(request, 2000, missing), { from: 8, to: 9 })
  assert.equal(asking.next(request, 3000, missing), undefined)
  // Its time is up, and nothing is left to ask.
  assert.equal(asking.next(request, 2000 + asking.PATIENCE_MS, missing), undefined)
  assert.ok(asking.isDone(request))
})

/** Nothing has come. */
const all: asking.Missing = (range) => [range]

test('a unit that is busy is asked again after a pause, but not for ever', () => {
  const request = asking.begin('a', [{ from: 1, to: 2 }])
  asking.next(request, 0, all)
  asking.refused(request, 'busy', 100)
  assert.ok(!asking.isDone(request))
  assert.equal(asking.next(request, 101, all), undefined)
  assert.deepEqual(asking.next(request, 100 + asking.BUSY_MS, all), { from: 1, to: 2 })
  let asked = 2
  for (let now = 1e5; !asking.isDone(request); now += 1e5, asked++) {
    asking.refused(request, 'busy', now)
    asking.next(request, now + asking.BUSY_MS, all)
    assert.ok(asked < 100)
  }
  assert.equal(asked, asking.MOST_IN_VAIN + 1)
})

test('a unit that refuses for another reason is not asked again', () => {
  for (const word of ['journal', 'format', 'signature', undefined, 5]) {
    const request = asking.begin('a', [{ from: 1, to: 2 }, { from: 5, to: 9 }])
    asking.next(request, 0, all)
    asking.refused(request, word, 100)
    assert.ok(asking.isDone(request))
    assert.equal(asking.next(request, 1e9, all), undefined)
  }
})

test('requests that bring something go on, those that do not come to an end', () => {
  const numbers = new Numbers()
  const request = asking.begin('a', [{ from: 1, to: 1_000_000 }])
  const missing: asking.Missing = ({ from, to }) => numbers.missing(from, to)
  let asked = 0
  for (let now = 0; asking.next(request, now, missing); now += asking.PATIENCE_MS) {
    asked += 1
    // One of each request, up to the thirtieth.
    if (asked <= 30) numbers.add(request.current?.from ?? 0)
  }
  assert.equal(asked, 30 + asking.MOST_IN_VAIN)
  assert.ok(asking.isDone(request))
})

test('no request asks for more than a unit answers', () => {
  const request = asking.begin('a', [{ from: 1, to: 25_000 }])
  const parts = [0, 1, 2].map((i) => asking.next(request, i * asking.PATIENCE_MS, all))
  assert.deepEqual(parts.map((part) => part && part.to - part.from + 1), [10_000, 10_000, 5_000])
})

test('a unit that claims more events than there can be costs no more than another', () => {
  const far = Number.MAX_SAFE_INTEGER
  const journal = new Journal()
  journal.arrived.add(7)
  journal.tell(far, far)
  const { gaps } = journal.gaps()
  const request = asking.begin('a', gaps)
  const missing: asking.Missing = (range) => journal.missing(range)
  assert.deepEqual(asking.next(request, 0, missing), { from: 8, to: 10_007 })
  assert.deepEqual(asking.next(request, asking.PATIENCE_MS, missing), { from: 10_008, to: 20_007 })
  // It takes it all back.
  journal.tellLost(1, far)
  journal.tellDenied(1, far)
  assert.equal(asking.next(request, 1e9, missing), undefined)
  assert.ok(asking.isDone(request))
})
