/** A unit's cameras: how they are, and when they watched. */
import type { App } from '../../app.ts'
import { watches } from '../../model/coverage.ts'
import type { Unit } from '../../model/fleet.ts'
import type { CameraHealth } from '../../model/health.ts'
import { S } from '../../strings/index.ts'
import { watchStrips } from '../chart/strip.ts'
import { card, h, setText } from '../dom.ts'
import * as format from '../format.ts'
import { icon } from '../icons.ts'
import { Looks } from './look.ts'

/** Made once for a unit, then only what changed is written: a button in it keeps the focus. */
export class CamerasPanel {
  readonly element: HTMLElement
  private readonly looks: Looks
  private readonly list = h('ul', { class: 'cameras' })
  private readonly none = h('p', { class: 'none' }, S.none)
  private readonly rows = new Map<string, CameraRow>()
  private unit = ''

  constructor(app: App) {
    this.looks = new Looks(app)
    this.element = card(S.unit.cameras, undefined, this.list, this.none, this.looks.options)
  }

  /** Changes when another picture of now is there. */
  get shown(): string {
    return this.looks.shown
  }

  update(unit: Unit, now: number): void {
    if (unit.id !== this.unit) this.rows.clear()
    this.unit = unit.id
    this.looks.update(unit, now)
    const cameras = unit.condition?.cameras ?? []
    for (const camera of cameras) {
      let row = this.rows.get(camera.name)
      if (!row) this.rows.set(camera.name, (row = new CameraRow(camera.name, this.looks.of(camera.name))))
      row.update(camera)
    }
    const wanted = [...new Set(cameras.map(({ name }) => name))].flatMap((name) => this.rows.get(name)?.element ?? [])
    if (wanted.length !== this.list.children.length || wanted.some((row, i) => row !== this.list.children[i])) this.list.replaceChildren(...wanted)
    this.none.hidden = wanted.length > 0
    this.looks.options.hidden = wanted.length === 0
  }
}

class CameraRow {
  readonly element: HTMLElement
  private readonly icon = h('span')
  private readonly state = h('span')
  private readonly words = h('span', { class: 'words' })

  constructor(name: string, look: HTMLElement) {
    this.element = h('li', null, this.icon, h('div', null, h('b', null, name), ' ', this.state, this.words, look))
  }

  update(camera: CameraHealth): void {
    const t = S.unit
    const up = camera.up !== false
    const is = up ? 'up' : 'down'
    if (this.element.className !== is) {
      this.element.className = is
      this.icon.replaceChildren(icon(up ? 'check' : 'alert'))
    }
    setText(this.state, up ? t.up : t.down)
    const words = [
      camera.ageS === undefined ? undefined : t.lastPicture(format.seconds(camera.ageS)),
      camera.gate === undefined ? undefined : t.gate(camera.gate),
      camera.lookP95Ms === undefined ? undefined : t.look(`${Math.round(camera.lookP95Ms)} ms`),
      camera.dropped ? t.dropped(camera.dropped) : undefined,
    ]
    setText(this.words, words.filter(Boolean).join(' · '))
  }
}

export function watchedPanel(app: App, unit: string, now: number): HTMLElement {
  const list = watches(app.fleet.book, unit)
  const names = new Set(app.fleet.unit(unit).condition?.cameras.map(({ name }) => name))
  for (const { cam } of list) names.add(cam)
  const strips = [...names].sort().map((cam) =>
    h('div', null, h('h3', { class: 'small' }, cam), watchStrips(cam, list.filter((watch) => watch.cam === cam), now)))
  return card(S.unit.watched, S.unit.watchedHint, h('div', { class: 'watched-list' }, strips))
}
