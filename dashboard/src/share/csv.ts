/** The events of a list as CSV (RFC 4180) and as JSON Lines. */
import { iso } from '../model/calendar.ts'
import type { Kept } from '../model/kept.ts'
import { boxOf, number, text, time } from '../wire/event.ts'
import { endClassOf, moved, type Book } from '../model/book.ts'
import type { Entry } from '../model/entries.ts'

const COLUMNS = [
  'time_utc', 'uncertainty_ms', 'corrected', 'unit', 'kind', 'phase', 'group', 'class', 'class_at_end', 'confidence', 'camera', 'wire',
  'direction', 'count', 'box', 'why', 'received_utc', 'log', 'seq', 'id', 'replay',
] as const

/** One line for each entry, in the order shown. */
export function toCsv(list: readonly Entry[]): string {
  return csvOf([COLUMNS, ...list.map(({ kept }) => row(kept))])
}

export type Field = string | number | undefined

/** Lines of fields, the names of the columns first. */
export function csvOf(rows: readonly (readonly Field[])[]): string {
  return rows.map((fields) => fields.map(field).join(',') + '\r\n').join('')
}

/** Of which units and of which time a list tells: of all there is, where nothing is given. */
export interface Extent {
  unit?: string
  /** From this time on, ms since 1970 … */
  from?: number
  /** … and before this one. */
  to?: number
}

/**
 * What `tawny report --jsonl` needs to tell the same as the page: all events that
 * the entries tell of, and of the same units and time when they watched and what
 * corrected their clocks. One object a line, as it came over the wire; with its
 * corrected time as `tawny events --format jsonl` adds it, where there is one.
 */
export function toJsonLines(list: readonly Entry[], book: Book, extent: Extent): string {
  const all = new Set(list.flatMap(({ of }) => of))
  for (const kept of book.events) {
    if ((extent.unit === undefined || kept.e.unit === extent.unit) && explains(kept, extent)) all.add(kept)
  }
  let lines = ''
  for (const kept of all) lines += jsonLine(kept) + '\n'
  return lines
}

/** Whether it says something about the time that a list is of: that it was watched, or how late it was. */
function explains(kept: Kept, { from = -Infinity, to = Infinity }: Extent): boolean {
  if (kept.e.kind === 'clock') return kept.at >= from && kept.at < to
  if (kept.e.kind !== 'watch') return false
  const [begin, end] = ['from', 'to'].map((key) => moved(kept, time(kept.e, key)))
  return begin !== undefined && end !== undefined && begin < to && end > from
}

/** A moved event is one that `tawny events` would have printed: what it adds is told from what came by `state`. */
function jsonLine({ e, at, tu, moved: isMoved }: Kept): string {
  return JSON.stringify(isMoved ? { ...e, t_corrected: iso(at), tu_corrected: tu, state: 'delivered' } : e)
}

function row(kept: Kept): Field[] {
  const { e } = kept
  return [
    iso(kept.at), kept.tu ?? undefined, kept.moved ? 'yes' : undefined, e.unit, e.kind, text(e, 'phase'),
    text(e, 'grp'), text(e, 'cls') ?? text(e, 'grp'), endClassOf(kept), number(e, 'conf'), text(e, 'cam'), text(e, 'wire'), text(e, 'dir'), number(e, 'n'),
    boxOf(e)?.join(' '), text(e, 'why'), iso(kept.rx), e.log, e.seq, text(e, 'id') ?? text(e, 'gid'),
    e['replay'] === true ? 'yes' : undefined,
  ]
}

/** A field; one that a spreadsheet would take for a formula gets an apostrophe before it. */
function field(value: Field): string {
  if (value === undefined) return ''
  if (typeof value === 'number') return String(value)
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
