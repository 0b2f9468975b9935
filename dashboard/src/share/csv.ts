/** The events of a list as CSV (RFC 4180) and as JSON Lines. */
import { iso } from '../model/calendar.ts'
import type { Kept } from '../model/kept.ts'
import { boxOf, number, text } from '../wire/event.ts'
import { endClassOf } from '../model/book.ts'
import type { Entry } from '../model/entries.ts'

const COLUMNS = [
  'time_utc', 'uncertainty_ms', 'corrected', 'unit', 'kind', 'phase', 'group', 'class', 'class_at_end', 'confidence', 'camera', 'wire',
  'direction', 'count', 'box', 'why', 'received_utc', 'log', 'seq', 'id', 'replay',
] as const

/** One line for each entry, in the order shown. */
export function toCsv(list: readonly Entry[]): string {
  const lines = [COLUMNS.join(',')]
  for (const { kept } of list) lines.push(row(kept).map(field).join(','))
  return lines.join('\r\n') + '\r\n'
}

/** All events that the entries tell of, as they came over the wire, one object a line. */
export function toJsonLines(list: readonly Entry[]): string {
  const seen = new Set<Kept>()
  let lines = ''
  for (const { of } of list) {
    for (const kept of of) {
      if (!seen.has(kept)) lines += JSON.stringify(kept.e) + '\n'
      seen.add(kept)
    }
  }
  return lines
}

function row(kept: Kept): (string | number | undefined)[] {
  const { e } = kept
  return [
    iso(kept.at), kept.tu ?? undefined, kept.moved ? 'yes' : undefined, e.unit, e.kind, text(e, 'phase'),
    text(e, 'grp'), text(e, 'cls') ?? text(e, 'grp'), endClassOf(kept), number(e, 'conf'), text(e, 'cam'), text(e, 'wire'), text(e, 'dir'), number(e, 'n'),
    boxOf(e)?.join(' '), text(e, 'why'), iso(kept.rx), e.log, e.seq, text(e, 'id') ?? text(e, 'gid'),
    e['replay'] === true ? 'yes' : undefined,
  ]
}

/** A field; one that a spreadsheet would take for a formula gets an apostrophe before it. */
function field(value: string | number | undefined): string {
  if (value === undefined) return ''
  if (typeof value === 'number') return String(value)
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
