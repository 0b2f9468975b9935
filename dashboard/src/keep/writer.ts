/**
 * Gathers what has to be kept and writes it in batches: what comes while one is
 * being written makes the next. A message is `done` (and
 * then acknowledged to the broker) when the batch with it is on disk. If the
 * disk fails the page goes on from memory, and says so.
 */
import type { Batch, EventRow, StillRow, Store } from './store.ts'
import type { Status } from '../wire/decode.ts'


export class Writer {
  private batch: Batch = empty()
  private waiting: (() => void)[] = []
  private timer?: ReturnType<typeof setTimeout>
  private busy = false

  constructor(
    private store: Store | undefined,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  event(row: EventRow, done: () => void): void {
    this.batch.events.push(row)
    this.later(done)
  }

  still(row: StillRow, done: () => void): void {
    this.batch.stills.push(row)
    this.later(done)
  }

  health(unit: string, t: number, raw: Record<string, unknown>, done: () => void): void {
    this.batch.health.push({ unit, t, raw })
    this.later(done)
  }

  status(unit: string, status: Status, done: () => void): void {
    this.batch.status.push({ unit, status })
    this.later(done)
  }

  /** Stops writing: what comes from now on is kept in memory alone. */
  stop(): void {
    this.store = undefined
  }

  private later(done: () => void): void {
    this.waiting.push(done)
    this.timer ??= setTimeout(() => void this.flush(), 0)
  }

  private async flush(): Promise<void> {
    this.timer = undefined
    if (this.busy) return
    this.busy = true
    const { batch, waiting } = this
    this.batch = empty()
    this.waiting = []
    try {
      await this.store?.write(batch)
    } catch (error) {
      this.store = undefined
      this.onFailure(error)
    }
    for (const done of waiting) done()
    this.busy = false
    if (this.waiting.length > 0) this.timer ??= setTimeout(() => void this.flush(), 0)
  }
}

function empty(): Batch {
  return { events: [], health: [], status: [], stills: [] }
}
