import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forgetAll } from '../../src/keep/forget.ts'

test('one kind of storage that is refused keeps nothing of the others, nor the page', async () => {
  const done: string[] = []
  const refuse = (): never => {
    throw new DOMException('refused', 'SecurityError')
  }
  const steps = [() => void done.push('session'), refuse, () => Promise.reject(new Error('no database')), () => Promise.resolve(void done.push('local'))]
  await forgetAll(steps, () => done.push('reload'))
  assert.deepEqual(done, ['session', 'local', 'reload'])
})
