/** What the unit keeps of an event and can be asked for: its small still again, the full one, clips. */
import type { App } from '../app.ts'
import { moved } from '../model/book.ts'
import type { Kept } from '../model/kept.ts'
import type { Wanted } from '../fetch/fetches.ts'
import { S } from '../strings/index.ts'
import { text, time } from '../wire/event.ts'
import { h } from './dom.ts'
import { FetchView, KeyHint } from './fetch.ts'
import * as format from './format.ts'
import { hashOf } from './route.ts'
import { objectOf } from './words.ts'

/** An object may be in several clips: the latest of them. */
const MOST_CLIPS = 4
/** Kinds that a still is about. */
const WITH_STILL = new Set(['sighting', 'crossing', 'zone'])

interface Offer {
  wanted: Wanted
  label: string
  alt: string
  /** The time in the name of the file. */
  at: number
  shown: boolean
}

export class FilesPanel {
  readonly element = h('section', { class: 'files' }, h('h3', { class: 'small' }, S.fetch.title))
  private readonly list = h('div', { class: 'fetches' })
  private readonly hint: KeyHint
  private readonly views = new Map<string, FetchView>()

  constructor(private readonly app: App, private readonly kept: Kept, leave: () => void) {
    this.hint = new KeyHint(app, h('a', { href: hashOf('unit', kept.e.unit), onclick: leave }, S.fetch.giveKey))
    this.element.append(this.list, this.hint.element)
    this.update(Date.now())
  }

  update(now: number): void {
    for (const offer of offers(this.app, this.kept)) {
      const name = JSON.stringify(offer.wanted)
      if (this.views.has(name)) continue
      const view = this.make(offer)
      this.views.set(name, view)
      this.list.append(view.element)
    }
    for (const view of this.views.values()) view.update(now)
    this.hint.update()
    this.element.hidden = this.views.size === 0
  }

  private make({ wanted, label, alt, at, shown }: Offer): FetchView {
    const { unit } = this.kept.e
    const cam = text(this.kept.e, 'cam') ?? ''
    return new FetchView(this.app, unit, () => wanted, { label, alt: () => alt, file: () => format.fileName(unit, cam, at), shown })
  }
}

function offers(app: App, kept: Kept): Offer[] {
  const { e, at } = kept
  const what = objectOf(kept)
  const id = text(e, 'id')
  if (id === undefined) return []
  if (e.kind === 'kept') return text(e, 'what') === 'clip' ? [clip(kept, S.fetch.clipAlt(text(e, 'cam') ?? '', e.unit))] : [full(id, what, kept)]
  if (!WITH_STILL.has(e.kind)) return []
  const files = app.fleet.book.filesOf(e.unit, id)
  const clips = files?.clips.slice(-MOST_CLIPS) ?? []
  const again: Offer = { wanted: { do: 'still', of: id }, label: S.fetch.again, alt: '', at, shown: false }
  return [
    ...(app.stills.has(e.unit, id) ? [] : [again]),
    ...(files?.full ? [full(id, what, files.full)] : []),
    ...clips.map((of) => clip(of, S.fetch.clipAlt(what, e.unit), clips.length > 1)),
  ]
}

function full(id: string, what: string, { e, at }: Kept): Offer {
  return { wanted: { do: 'still', of: id, full: true }, label: S.fetch.full, alt: S.fetch.fullAlt(what, e.unit), at, shown: true }
}

/** `several`: its beginning tells it from the others. */
function clip(kept: Kept, alt: string, several = false): Offer {
  const to = moved(kept, time(kept.e, 'to'))
  const length = to === undefined ? S.none : format.seconds(Math.max(0, to - kept.at) / 1000)
  return { wanted: { do: 'clip', of: text(kept.e, 'id') ?? '' }, label: several ? S.fetch.clipOf(format.clock(kept.at), length) : S.fetch.clip(length), alt, at: kept.at, shown: true }
}
