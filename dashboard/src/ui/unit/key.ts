/** Takes an operator's key and lets go of it. The text is not kept. */
import type { App } from '../../app.ts'
import { BadKey, holdKey } from '../../command/key.ts'
import { S } from '../../strings/index.ts'
import { h } from '../dom.ts'

/** How many digits of a public key tell it from others. */
const DIGITS = 12

export class KeyHolder {
  readonly element: HTMLElement
  private readonly held = h('p')
  private readonly error = h('p', { class: 'error', role: 'alert' })
  private readonly input = h('input', { type: 'password', id: 'operator-key', autocomplete: 'off', spellcheck: 'false' })
  private readonly file = h('input', { type: 'file', class: 'for-readers', tabindex: '-1', 'aria-hidden': 'true', onchange: () => void this.read() })
  private readonly form: HTMLElement
  private readonly drop: HTMLElement

  constructor(private readonly app: App) {
    const t = S.unit
    this.form = h('form', { class: 'key-form', onsubmit: (event: Event) => { event.preventDefault(); void this.hold(this.input.value) } },
      h('label', { for: 'operator-key' }, t.keyLabel), this.input, this.file,
      h('div', { class: 'buttons left' },
        h('button', { type: 'submit' }, t.keyHold), h('button', { type: 'button', onclick: () => this.file.click() }, t.keyFile)))
    this.drop = h('div', { class: 'buttons left' }, h('button', { type: 'button', onclick: () => { app.commands.key = undefined; app.changed() } }, t.keyDrop))
    this.element = h('details', { class: 'key' }, h('summary', null, t.key), this.held, this.form, this.drop, this.error)
  }

  update(): void {
    const { key } = this.app.commands
    const t = S.unit
    this.held.textContent = key ? t.keyHeld(key.name ?? '', key.publicHex.slice(0, DIGITS)) : t.keyNone
    this.form.hidden = key !== undefined
    this.drop.hidden = key === undefined
  }

  private async read(): Promise<void> {
    const file = this.file.files?.[0]
    this.file.value = ''
    if (file) await this.hold(file.size > 4096 ? '' : await file.text())
  }

  private async hold(text: string): Promise<void> {
    this.input.value = ''
    this.error.textContent = ''
    try {
      this.app.commands.key = await holdKey(text)
    } catch (error) {
      this.error.textContent = error instanceof BadKey ? S.unit.keyBad : S.unit.keyUnable
    }
    this.app.changed()
  }
}
