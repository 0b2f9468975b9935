/** What an event says, in words: one place for the timeline, the cards and the details. */
import { S } from '../strings/index.ts'
import type { Kept } from '../model/kept.ts'
import { groupOf, number, text, time } from '../wire/event.ts'
import { classThen, endClassOf, listedClass, moved } from '../model/book.ts'
import type { Entry } from '../model/entries.ts'
import { h } from './dom.ts'
import { capital, moment, percent, seconds } from './format.ts'
import { arrow } from './icons.ts'

/** The object of an event, a crossing's as it was counted: "Car". */
export function objectOf(kept: Kept): string {
  const group = groupOf(kept.e)
  return capital(listedClass(kept) ?? (group ? S.groups[group] : kept.e.kind))
}

/** The entry's headline. */
export function headline({ kept }: Entry): string {
  const { e } = kept
  const what = objectOf(kept)
  const phase = text(e, 'phase') ?? ''
  const group = groupOf(e)
  switch (e.kind) {
    case 'crossing': return S.entry.crosses(what, text(e, 'dir') ?? '')
    case 'sighting': return S.entry.seen(what)
    case 'zone': return S.entry.zone(what, text(e, 'zone') ?? '', phase === 'enter')
    case 'group': return S.entry.convoy(number(e, 'n') ?? 2, group ? S.groupsMany[group] : what)
    case 'camera': return S.entry.camera[phase] ?? e.kind
    case 'tamper': return S.entry.tamper[phase] ?? e.kind
    case 'pause': return pauseWords(kept)
    case 'boot': return S.entry.boot[text(e, 'why') ?? ''] ?? e.kind
    case 'watch': return S.entry.watch(percent(watchedShare(kept)))
    case 'clock': return S.entry.clock
    case 'storage': return S.entry.storage
    case 'power': return S.entry.power
    case 'kept': return text(e, 'what') === 'clip' ? S.entry.keptClip : S.entry.kept
    case 'lost': return S.entry.lost(number(e, 'n') ?? 0)
    default: return capital(e.kind)
  }
}

/** The headline as an element: a crossing with its direction set apart. */
export function headlineElement(entry: Entry): HTMLElement {
  const { e } = entry.kept
  const dir = text(e, 'dir')
  if (e.kind !== 'crossing' || dir === undefined) return h('span', { class: 'head' }, h('strong', null, headline(entry)))
  return h('span', { class: 'head' }, h('strong', null, objectOf(entry.kept)), arrow(dir) ?? h('span', { 'aria-hidden': 'true' }, '→'), h('span', { class: 'dir' }, dir))
}

/** Where it was and what else is known, in a few words each. */
export function particulars({ kept }: Entry): string[] {
  const { e } = kept
  const words: (string | undefined)[] = [[text(e, 'cam'), text(e, 'wire')].filter(Boolean).join(' / ')]
  const end = otherEnd(kept)
  if (end !== undefined) words.push(S.entry.inTheEnd(end))
  const thing = kept.thing
  if (e.kind === 'sighting' || e.kind === 'crossing') {
    const dur = thing?.end && number(thing.end.e, 'dur')
    if (dur !== undefined) words.push(S.entry.inView(seconds(dur)))
  }
  if (e.kind === 'group') words.push(text(e, 'dir'))
  if (!['sighting', 'crossing', 'zone', 'group', 'boot'].includes(e.kind)) words.push(text(e, 'why'))
  return words.filter((word): word is string => word !== undefined && word !== '')
}

/** What a crossing's object was found to be in the end, if it was counted as something else. */
export function otherEnd(kept: Kept): string | undefined {
  const end = kept.e.kind === 'crossing' ? endClassOf(kept) : undefined
  return end?.toLowerCase() === classThen(kept).toLowerCase() ? undefined : end
}

/** Why a unit refused, from the word in its reply and what it says itself. */
export function refusal(word: unknown, why: string | undefined): string {
  if (word === 'missing' && why !== undefined) return S.refusedMissing(why)
  if (word === 'stale') return S.refusedStale(why ?? S.none)
  const known = typeof word === 'string' && Object.hasOwn(S.refusals, word) ? S.refusals[word] : undefined
  return known ?? why ?? S.none
}

function pauseWords(kept: Kept): string {
  const by = text(kept.e, 'by')
  const until = moved(kept, time(kept.e, 'until'))
  if (text(kept.e, 'phase') === 'end') return S.entry.resumed(by)
  return S.entry.paused(until === undefined ? '' : moment(until, kept.at), by)
}

function watchedShare({ e }: Kept): number {
  const [from, to] = [Date.parse(text(e, 'from') ?? ''), Date.parse(text(e, 'to') ?? '')]
  const blind = ((number(e, 'blind_s') ?? 0) + (number(e, 'paused_s') ?? 0)) * 1000
  return to > from ? Math.max(0, 1 - blind / (to - from)) : 0
}
