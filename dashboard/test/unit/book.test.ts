import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Book, classOf, classThen, listedClass } from '../../src/model/book.ts'
import { entries, SORTS } from '../../src/model/entries.ts'
import { toCsv, toJsonLines } from '../../src/share/csv.ts'
import { crossing, event, T0 } from './make.ts'

const all = { sorts: new Set(SORTS) }
const seqs = (book: Book): number[] => book.events.map(({ e }) => e.seq)

test('a copy of an event is dropped, whenever it comes', () => {
  const book = new Book()
  assert.ok(book.add(crossing(1, 1), 0))
  assert.ok(book.add(crossing(2, 2), 0))
  assert.equal(book.add(crossing(1, 1), 99), undefined)
  assert.equal(book.events.length, 2)
  // The same number of another journal, or of another unit, is another event.
  assert.ok(book.add({ ...crossing(1, 1), log: 'bbbb' }, 0))
  assert.ok(book.add({ ...crossing(1, 1), unit: 'v' }, 0))
})

test('a late event is put where it happened', () => {
  const book = new Book()
  for (const [seq, at] of [[1, 10], [2, 30], [3, 20], [4, 5], [5, 40]] as const) book.add(crossing(seq, at), 0)
  assert.deepEqual(seqs(book), [4, 1, 3, 2, 5])
})

test('a `clock` event moves what came before it, and what comes late', () => {
  const book = new Book()
  book.add(crossing(1, 100), 0)
  book.add(crossing(2, 200), 0)
  book.add(crossing(4, 150), 0)
  book.add(event(5, 'clock', 300, { ranges: [[1, 3, 1_000_000, 40]], why: 'ntp' }), 0)
  assert.deepEqual(seqs(book), [4, 5, 1, 2])
  const late = book.add(crossing(3, 210), 0)
  assert.equal(late?.at, T0 + 210_000 + 1_000_000)
  assert.equal(late?.tu, 40)
  assert.ok(late?.moved)
  assert.equal(book.get('u aaaa 4')?.moved, false)
})

test('where ranges overlap, that of the later event holds, in whatever order they come', () => {
  const first = event(5, 'clock', 1, { ranges: [[1, 4, 1000, 9]], why: '' })
  const second = event(8, 'clock', 2, { ranges: [[2, 7, 5000, 3]], why: '' })
  for (const order of [[first, second], [second, first]]) {
    const book = new Book()
    for (const seq of [1, 2]) book.add(crossing(seq, 0), 0)
    for (const e of order) book.add(e, 0)
    assert.deepEqual(['u aaaa 1', 'u aaaa 2'].map((name) => book.get(name)?.at), [T0 + 1000, T0 + 5000])
  }
})

test('read from the store in parts, it is the same book', () => {
  const list = [crossing(1, 9), event(2, 'clock', 8, { ranges: [[1, 1, 500, 1]], why: '' }), crossing(3, 7), crossing(4, 20)].map((e) => ({ e, rx: 0 }))
  const one = new Book()
  for (const { e, rx } of list) one.add(e, rx)
  const two = new Book()
  two.addAll(list.slice(2))
  two.addAll(list.slice(0, 2))
  two.addAll(list)
  assert.deepEqual(seqs(two), seqs(one))
  assert.deepEqual(two.events.map(({ at }) => at), one.events.map(({ at }) => at))
})

test('one object is one entry: its crossings tell it, and its end says what it was', () => {
  const book = new Book()
  const about = { id: 'x', grp: 'vehicle', cam: 'c' }
  book.add(event(1, 'sighting', 0, { ...about, phase: 'start', cls: 'car' }), 0)
  assert.deepEqual(entries(book, all).map(({ sort }) => sort), ['sighting'])
  book.add(crossing(2, 1, { ...about, cls: 'car' }), 0)
  book.add(event(3, 'sighting', 2, { ...about, phase: 'end', cls: 'truck', dur: 2 }), 0)
  const list = entries(book, all)
  assert.equal(list.length, 1)
  assert.equal(list[0]?.kept.e.kind, 'crossing')
  assert.equal(list[0]?.of.length, 3)
  // It is listed as it was counted; what it was in the end is asked for by that.
  assert.deepEqual([classThen(list[0].kept), listedClass(list[0].kept), classOf(list[0].kept)], ['car', 'car', 'truck'])
  const found = ['car', 'truck', 'end:truck', 'end:car', 'vehicle'].map((cls) => entries(book, { ...all, cls }).length)
  assert.deepEqual(found, [1, 0, 1, 0, 1])
  const [head, line] = toCsv(list).split('\r\n').map((row) => row.split(','))
  assert.deepEqual(['class', 'class_at_end'].map((column) => line?.[head?.indexOf(column) ?? -1]), ['car', 'truck'])
})

test('ids of one unit are not those of another', () => {
  const book = new Book()
  book.add(event(1, 'sighting', 0, { id: 'x', phase: 'start', grp: 'person', cls: 'person' }), 0)
  book.add({ ...crossing(1, 1, { id: 'x' }), unit: 'v' }, 0)
  assert.equal(entries(book, all).length, 2)
})

test('a group is one entry, told by its end', () => {
  const book = new Book()
  const about = { gid: 'g', cam: 'c', wire: 'w', dir: 'in', grp: 'vehicle' }
  book.add(event(1, 'group', 0, { ...about, phase: 'start', n: 2 }), 0)
  book.add(event(2, 'group', 60, { ...about, phase: 'end', n: 5 }), 0)
  assert.deepEqual(entries(book, all).map(({ kept }) => kept.e['n']), [5])
})

test('what a unit keeps of an object is found by the object', () => {
  const book = new Book()
  book.add(event(1, 'kept', 0, { id: 'x', cam: 'c', what: 'still' }), 0)
  book.add(event(2, 'kept', 1, { id: 'clip-1', cam: 'c', what: 'clip', of: ['x', 'y', 5, ''] }), 0)
  book.add(event(3, 'kept', 2, { id: 'clip-2', cam: 'c', what: 'clip', of: 'x' }), 0)
  book.add(event(4, 'kept', 3, { id: 'x', cam: 'c', what: 'hologram' }), 0)
  const seqsOf = (id: string): unknown => [book.filesOf('u', id)?.full?.e.seq, book.filesOf('u', id)?.clips.map(({ e }) => e.seq)]
  assert.deepEqual([seqsOf('x'), seqsOf('y')], [[1, [2]], [undefined, [2]]])
  assert.equal(book.filesOf('v', 'x'), undefined)
  assert.equal(book.filesOf('u', 'clip-1'), undefined)
  book.trim(1)
  assert.equal(book.filesOf('u', 'x'), undefined)
})

test('what is let go of is neither a gap nor new when it comes again', () => {
  const book = new Book()
  for (let seq = 1; seq <= 10; seq++) book.add(crossing(seq, seq), 0)
  book.journal('u', 'aaaa').tell(10, 10)
  book.trim(4)
  assert.deepEqual(seqs(book), [7, 8, 9, 10])
  assert.equal(book.add(crossing(2, 2), 0), undefined)
  assert.deepEqual(book.journal('u', 'aaaa').gaps(), { gaps: [], earlier: [], lost: [] })
})

test('filters', () => {
  const book = new Book()
  book.add(crossing(1, 0, { dir: 'in' }), 0)
  book.add(crossing(2, 10, { dir: 'out' }), 0)
  book.add({ ...crossing(1, 20), unit: 'v' }, 0)
  book.add(event(3, 'camera', 30, { cam: 'c', phase: 'lost' }), 0)
  const n = (filter: object): number => entries(book, { ...all, ...filter }).length
  assert.deepEqual([n({}), n({ unit: 'v' }), n({ dir: 'out' }), n({ sorts: new Set(['trouble']) })], [4, 1, 1, 1])
  assert.deepEqual([n({ from: T0 + 10_000 }), n({ to: T0 + 10_000 }), n({ from: T0, to: T0 + 1 })], [3, 1, 1])
})

test('CSV: one line for each entry, nothing a spreadsheet would run', () => {
  const book = new Book()
  book.add(crossing(1, 0, { dir: '=HYPERLINK("x")', wire: 'a,"b"' }), T0)
  const lines = toCsv(entries(book, all)).trimEnd().split('\r\n')
  assert.equal(lines.length, 2)
  assert.match(lines[1] ?? '', /^2026-05-01T12:00:00\.000Z,5,,u,crossing,/)
  assert.match(lines[1] ?? '', /"a,""b""","'=HYPERLINK\(""x""\)"/)
})

const linesOf = (book: Book, filter: object = {}): Record<string, unknown>[] =>
  toJsonLines(entries(book, { ...all, ...filter }), book, filter).trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)

test('JSON Lines: every event of the entries once, as it came', () => {
  const book = new Book()
  const list = [event(1, 'sighting', 0, { id: 'x', phase: 'start', grp: 'vehicle' }), crossing(2, 1, { id: 'x' }), crossing(3, 2, { id: 'x', dir: 'out' })]
  for (const e of list) book.add(e, 0)
  const lines = linesOf(book)
  assert.equal(lines.length, 3)
  for (const e of list) assert.ok(lines.some((line) => JSON.stringify(line) === JSON.stringify(e)))
})

test('JSON Lines: a corrected time stands beside the reported one, as `tawny events` prints it', () => {
  const book = new Book()
  const [early, clock] = [crossing(1, 0, { ts: 'none', tu: undefined }), event(2, 'clock', 60, { ranges: [[1, 1, 5_000, 40]], why: 'ntp' })]
  for (const e of [early, clock]) book.add(e, 0)
  const lines = toJsonLines(entries(book, { sorts: new Set(['crossing']) }), book, {}).split('\n')
  assert.equal(lines[0], `${JSON.stringify(early).slice(0, -1)},"t_corrected":"2026-05-01T12:00:05.000Z","tu_corrected":40,"state":"delivered"}`)
  // What corrected it goes with it, whatever is shown.
  assert.equal(lines[1], JSON.stringify(clock))
})

test('JSON Lines: what tells when it was watched goes with it, of the units and the time shown', () => {
  const iso = (seconds: number): string => new Date(T0 + seconds * 1000).toISOString()
  const watch = (seq: number, from: number, to: number): ReturnType<typeof event> => event(seq, 'watch', to, { cam: 'c', from: iso(from), to: iso(to), frames: 9, blind_s: 0 })
  const book = new Book()
  for (const e of [crossing(1, 100), watch(2, 0, 3600), watch(3, 3600, 7200), crossing(4, 4000), watch(5, 7200, 10_800)]) book.add(e, 0)
  book.add({ ...watch(1, 0, 3600), unit: 'v' }, 0)
  const seqsOf = (filter: object): string => linesOf(book, { sorts: new Set(['crossing']), ...filter }).map(({ unit, seq }) => `${String(unit)}${String(seq)}`).sort().join(' ')
  assert.equal(seqsOf({}), 'u1 u2 u3 u4 u5 v1')
  assert.equal(seqsOf({ unit: 'u' }), 'u1 u2 u3 u4 u5')
  // Half an hour in the middle of an hour that a later event tells of.
  assert.equal(seqsOf({ unit: 'u', from: T0 + 3_700_000, to: T0 + 5_000_000 }), 'u3 u4')
  assert.equal(seqsOf({ unit: 'v', dir: 'in' }), 'v1')
})
