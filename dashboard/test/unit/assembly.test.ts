import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Assembly, MAX_PART_BYTES, MOST_PIECES } from '../../src/fetch/assembly.ts'
import type { Announced } from '../../src/wire/file.ts'

/** A small generator of random numbers: the same sequence at each run. */
function randomOf(seed: number): (n: number) => number {
  let state = seed
  return (n) => ((state = (state * 1103515245 + 12345) & 0x7fffffff) >> 8) % n
}

const file = (bytes: number, more: Partial<Announced> = {}): Announced => ({ type: 'video/mp4', bytes, sha256: 'a'.repeat(64), from: 0, ...more })
const content = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >> 8)) & 255)

test('parts in any order, cut anywhere, some of them twice, are the file', () => {
  const random = randomOf(4711)
  for (let round = 0; round < 60; round++) {
    const whole = content(1 + random(30_000))
    const parts: [number, Uint8Array][] = []
    for (let at = 0; at < whole.length; ) {
      const end = Math.min(whole.length, at + 1 + random(MAX_PART_BYTES))
      parts.push([at, whole.slice(at, end)])
      // The next one may begin inside of this one.
      at = random(4) === 0 ? at + 1 + random(end - at) : end
    }
    parts.push(...parts.filter(() => random(3) === 0))
    for (let i = parts.length - 1; i > 0; i--) {
      const j = random(i + 1)
      ;[parts[i], parts[j]] = [parts[j] as [number, Uint8Array], parts[i] as [number, Uint8Array]]
    }
    const assembly = new Assembly(file(whole.length))
    const there = new Set<number>()
    for (const [offset, part] of parts) {
      const before = there.size
      for (let i = 0; i < part.length; i++) there.add(offset + i)
      assert.equal(assembly.add(offset, part), there.size > before ? 'new' : 'known')
      assert.equal(assembly.received, there.size)
      let prefix = 0
      while (there.has(prefix)) prefix += 1
      assert.equal(assembly.prefix, prefix)
      assert.equal(assembly.complete, there.size === whole.length)
    }
    assert.deepEqual(assembly.whole(), whole)
  }
})

test('what cannot be a part is left out', () => {
  const assembly = new Assembly(file(10_000))
  const part = (n: number): Uint8Array => new Uint8Array(n).fill(9)
  const bad: [number, Uint8Array][] = [
    [0, part(0)], [0, part(MAX_PART_BYTES + 1)], [-1, part(4)], [0.5, part(4)], [NaN, part(4)], [9_999, part(2)], [10_000, part(1)],
    [2 ** 53, part(1)], [Infinity, part(1)],
  ]
  for (const [offset, bytes] of bad) assert.equal(assembly.add(offset, bytes), 'bad', `${offset} ${bytes.length}`)
  assert.equal(assembly.received, 0)
  assert.throws(() => assembly.whole())
  assert.equal(assembly.add(9_999, part(1)), 'new')
})

test('a later part does not change what is there', () => {
  const assembly = new Assembly(file(8))
  assembly.add(2, Uint8Array.of(1, 2, 3))
  assert.equal(assembly.add(2, Uint8Array.of(9, 9, 9)), 'known')
  assert.equal(assembly.add(0, Uint8Array.of(7, 7, 9, 9, 9, 7, 7, 7)), 'new')
  assert.deepEqual([...assembly.whole()], [7, 7, 1, 2, 3, 7, 7, 7])
})

test('a file in crumbs does not grow a list without end, and can still be completed', () => {
  const whole = content(20_000)
  const assembly = new Assembly(file(whole.length))
  let refused = 0
  for (let at = 1; at < whole.length; at += 2) if (assembly.add(at, whole.slice(at, at + 1)) === 'bad') refused += 1
  assert.equal(refused, 10_000 - MOST_PIECES)
  for (let at = 0; at < whole.length; at += MAX_PART_BYTES) assert.equal(assembly.add(at, whole.slice(at, at + MAX_PART_BYTES)), 'new')
  assert.deepEqual(assembly.whole(), whole)
})

test('another file is told from the same', () => {
  const assembly = new Assembly(file(100))
  assert.ok(assembly.isOf(file(100, { from: 50 })))
  assert.ok(!assembly.isOf(file(101)))
  assert.ok(!assembly.isOf(file(100, { sha256: 'b'.repeat(64) })))
  assert.ok(!assembly.isOf(file(100, { type: 'image/jpeg' })))
})
