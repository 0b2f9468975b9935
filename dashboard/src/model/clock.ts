/**
 * Better times for earlier events. A unit without a battery clock reports what
 * it knows; a later `clock` event says by how much the `t` of earlier numbers
 * of the same journal has to be moved. Where ranges overlap, that of the later
 * event holds.
 */
import { correctionsOf, type Correction, type WireEvent } from '../wire/event.ts'

export class ClockRanges {
  /** The later event first. */
  private readonly told: { seq: number; ranges: Correction[] }[] = []

  /** Takes a `clock` event; the numbers it may move. */
  take(e: WireEvent): Correction[] {
    const ranges = correctionsOf(e)
    const at = this.told.findIndex(({ seq }) => seq < e.seq)
    this.told.splice(at < 0 ? this.told.length : at, 0, { seq: e.seq, ranges })
    return ranges
  }

  /** The correction that holds for a number. */
  of(seq: number): Correction | undefined {
    for (const { ranges } of this.told) {
      // Within one event, too, the later range holds.
      for (let i = ranges.length - 1; i >= 0; i--) {
        const range = ranges[i] as Correction
        if (range.first <= seq && seq <= range.last) return range
      }
    }
    return undefined
  }
}
