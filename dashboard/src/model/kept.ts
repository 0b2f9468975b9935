/** An event as the page keeps it, and what it belongs to. */
import type { WireEvent } from '../wire/event.ts'

export interface Kept {
  /** The wire's object. */
  readonly e: WireEvent
  /** When it happened as reported, ms since 1970. */
  readonly t: number
  /** When it arrived here, ms since 1970 by the browser's clock. */
  readonly rx: number
  /** When it happened with the corrections that came later, ms since 1970. */
  at: number
  /** The uncertainty of `at`, ± ms; `null`: unknown. */
  tu: number | null
  /** Whether a `clock` event moved it. */
  moved: boolean
  /** The object it is about, if it is about one. */
  thing?: Thing
  /** The group it begins or ends, if it does. */
  convoy?: Convoy
}

/** All events about one object, by the id they share. */
export interface Thing {
  start?: Kept
  end?: Kept
  crossings: Kept[]
}

/** What a unit keeps of one object: events of the kind `kept`. */
export interface Files {
  /** Its still at full size. */
  full?: Kept
  /** Video that shows it, and maybe others. */
  clips: Kept[]
}

/** The events about one group (convoy). */
export interface Convoy {
  start?: Kept
  end?: Kept
}
