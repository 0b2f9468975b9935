/** "Look now": what each camera of a unit sees, asked for by hand. Kept for the moment only. */
import type { App } from '../../app.ts'
import type { Unit } from '../../model/fleet.ts'
import { S } from '../../strings/index.ts'
import { h } from '../dom.ts'
import { FetchView, KeyHint } from '../fetch.ts'
import * as format from '../format.ts'

/** As wide as the pictures of this page get; the unit never makes them larger than they are. */
const WIDTH = 960

export class Looks {
  /** What holds for all cameras. */
  readonly options: HTMLElement
  /** Changes when another picture is there. */
  shown = ''
  private readonly draw = h('input', { type: 'checkbox', id: 'look-draw' })
  private readonly hint: KeyHint
  private readonly views = new Map<string, FetchView>()
  private unit = ''

  constructor(private readonly app: App) {
    this.hint = new KeyHint(app, h('button', { type: 'button', class: 'link', onclick: () => giveKey() }, S.fetch.giveKey))
    this.options = h('div', { class: 'look-options' },
      h('label', { class: 'check', for: 'look-draw' }, this.draw, h('span', null, S.fetch.draw)), this.hint.element)
  }

  /** The button of a camera, and its picture. */
  of(cam: string): HTMLElement {
    const view = this.make(this.unit, cam)
    this.views.set(cam, view)
    view.update(Date.now())
    return view.element
  }

  update(unit: Unit, now: number): void {
    if (unit.id !== this.unit) this.views.clear()
    this.unit = unit.id
    this.hint.update()
    for (const view of this.views.values()) view.update(now)
    this.shown = (unit.condition?.cameras ?? []).map(({ name }) => this.app.fetches.lookOf(unit.id, name)?.url ?? '').join()
  }

  private make(unit: string, cam: string): FetchView {
    const at = (ms: number | undefined): string => (ms === undefined ? '' : format.clock(ms))
    return new FetchView(this.app, unit, () => ({ do: 'still', cam, draw: this.draw.checked, width: WIDTH }), {
      label: S.fetch.look,
      alt: ({ doneAt }) => S.fetch.lookAlt(cam, unit, at(doneAt)),
      done: ({ doneAt }, size) => S.fetch.lookAt(at(doneAt), size),
      file: ({ doneAt = 0 }) => format.fileName(unit, cam, doneAt),
      shown: true,
    })
  }
}

/** Opens the place on this page where the key is given. */
function giveKey(): void {
  const place = document.querySelector<HTMLDetailsElement>('.key')
  if (!place) return
  place.open = true
  place.scrollIntoView({ block: 'center' })
  place.querySelector<HTMLElement>('summary')?.focus()
}
