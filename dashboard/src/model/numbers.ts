/**
 * Which numbers of one journal (`unit`, `log`) have arrived, and which are
 * gaps. Kept as sorted, disjoint intervals: months of events take a few of
 * them. A number missing at or below `low` is a gap, one above it is late.
 */

/** The numbers from `from` to `to`, both included. */
export interface Range {
  from: number
  to: number
}

export class Numbers {
  /** Sorted, disjoint, not adjacent. */
  private readonly ranges: Range[] = []

  /** Adds a number; `false` if it was there. */
  add(n: number): boolean {
    return this.addRange(n, n)
  }

  /** Adds all from `from` to `to`; `false` if they all were there. */
  addRange(from: number, to: number): boolean {
    if (to < from) return false
    const { ranges } = this
    // Most numbers follow the last one.
    const last = ranges[ranges.length - 1]
    if (last === undefined || from > last.to + 1) {
      ranges.push({ from, to })
      return true
    }
    const begin = this.firstEndingAt(from - 1)
    const first = ranges[begin]
    if (first !== undefined && first.from <= from && to <= first.to) return false
    let end = begin
    const joined = { from, to }
    for (let range = ranges[end]; range !== undefined && range.from <= to + 1; range = ranges[++end]) {
      joined.from = Math.min(joined.from, range.from)
      joined.to = Math.max(joined.to, range.to)
    }
    ranges.splice(begin, end - begin, joined)
    return true
  }

  clear(): void {
    this.ranges.length = 0
  }

  has(n: number): boolean {
    const range = this.ranges[this.firstEndingAt(n)]
    return range !== undefined && range.from <= n
  }

  /** The lowest number there is. */
  get first(): number | undefined {
    return this.ranges[0]?.from
  }

  /** How many pieces there are with something missing between them. */
  get pieces(): number {
    return this.ranges.length
  }

  /** What is missing from `from` to `to`. */
  missing(from: number, to: number): Range[] {
    const missing: Range[] = []
    let next = from
    for (let i = this.firstEndingAt(from); i < this.ranges.length; i++) {
      const range = this.ranges[i] as Range
      if (range.from > to) break
      if (range.from > next) missing.push({ from: next, to: range.from - 1 })
      next = Math.max(next, range.to + 1)
    }
    if (next <= to) missing.push({ from: next, to })
    return missing
  }

  /** What there is from `from` to `to`. */
  within(from: number, to: number): Range[] {
    const found: Range[] = []
    for (let i = this.firstEndingAt(from); i < this.ranges.length; i++) {
      const range = this.ranges[i] as Range
      if (range.from > to) break
      found.push({ from: Math.max(from, range.from), to: Math.min(to, range.to) })
    }
    return found
  }

  /** The index of the first interval that ends at `n` or after it. */
  private firstEndingAt(n: number): number {
    let low = 0
    let high = this.ranges.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.ranges[middle] as Range).to < n) low = middle + 1
      else high = middle
    }
    return low
  }
}

export function count(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}

/** One journal of a unit, as far as this browser knows it. */
export class Journal {
  readonly arrived = new Numbers()
  /** Numbers that a `lost` event spoke of: the unit says that they will not come. */
  private readonly lost = new Numbers()
  /** Numbers that the unit, asked from here, answered that it does not hold. */
  private readonly denied = new Numbers()
  /** Both: not missing. */
  private readonly excused = new Numbers()
  /** The highest `low` heard. After a crash the unit may tell a lower one for a while. */
  low = 0
  /** The highest number the unit is known to have stored. */
  seq = 0

  tell(seq: number, low: number): void {
    this.low = Math.max(this.low, low)
    this.seq = Math.max(this.seq, seq)
  }

  /** A `lost` event spoke of these. */
  tellLost(from: number, to: number): void {
    this.lost.addRange(from, to)
    for (const range of this.denied.within(from, to)) this.excused.addRange(range.from, range.to)
  }

  /** The unit was asked for these, and does not hold them. */
  tellDenied(from: number, to: number): void {
    this.denied.addRange(from, to)
    for (const range of this.lost.within(from, to)) this.excused.addRange(range.from, range.to)
  }

  /** The unit has connected anew: it may hold what it did not, or have been mended. */
  connected(): void {
    this.denied.clear()
    this.excused.clear()
  }

  /** What may still come: all but what the unit says it lost and, when asked, that it does not hold. */
  missing({ from, to }: Range): Range[] {
    return this.arrived.missing(from, to).flatMap((range) => this.excused.missing(range.from, range.to))
  }

  /**
   * What is missing at or below `low`. What lies before the first number that ever
   * arrived is `earlier`: it happened before this browser listened. `lost` is what
   * the unit says will not come, until it was asked and says that it does not hold it.
   */
  gaps(): { gaps: Range[]; earlier: Range[]; lost: Range[] } {
    const begin = this.arrived.first ?? this.low + 1
    const missing = (from: number, to: number): Range[] => this.missing({ from, to })
    const open = (from: number, to: number): Range[] => missing(from, to).flatMap((range) => this.lost.missing(range.from, range.to))
    const lost = missing(1, this.low).flatMap((range) => this.lost.within(range.from, range.to))
    return { gaps: open(begin, this.low), earlier: open(1, Math.min(begin - 1, this.low)), lost }
  }
}
