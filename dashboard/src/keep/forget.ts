/**
 * Does each step of forgetting, whatever became of those before: a browser that
 * refuses one kind of storage may have kept something in another. `end` comes last
 * in any case.
 */
export async function forgetAll(steps: readonly (() => void | Promise<void>)[], end: () => void): Promise<void> {
  try {
    for (const step of steps) {
      try {
        await step()
      } catch {
        // Where nothing may be kept nothing is.
      }
    }
  } finally {
    end()
  }
}
