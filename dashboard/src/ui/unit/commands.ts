/** Commands to a unit, and what it answered. */
import type { App } from '../../app.ts'
import { clockGap } from '../../command/clocks.ts'
import type { Sent } from '../../command/command.ts'
import { S } from '../../strings/index.ts'
import { confirmed } from '../dialog.ts'
import { card, choice, h, setText } from '../dom.ts'
import * as format from '../format.ts'
import { refusal } from '../words.ts'
import { KeyHolder } from './key.ts'

const REPLIES = 12

export class CommandPanel {
  readonly element: HTMLElement
  private readonly buttons: HTMLButtonElement[]
  private readonly replies = h('ol', { class: 'replies', 'aria-live': 'polite' })
  private readonly clocks = h('p', { class: 'warn', role: 'status', hidden: true })
  private readonly key: KeyHolder
  private pauseFor = '1h'
  private unit = ''
  private look = ''

  constructor(private readonly app: App) {
    const t = S.unit
    const button = (what: string, act: () => void): HTMLButtonElement =>
      h('button', { type: 'button', 'data-do': what, title: t.doHint[what] ?? '', onclick: act }, t.do[what] ?? what)
    this.buttons = [
      button('ping', () => void this.app.send(this.unit, 'ping')),
      button('pause', () => void this.pause()),
      button('resume', () => void this.app.send(this.unit, 'resume')),
    ]
    const length = choice(t.pauseFor, Object.entries(t.pauses), this.pauseFor, (value) => (this.pauseFor = value))
    this.key = new KeyHolder(app)
    this.element = card(t.commands, t.commandsHint,
      h('div', { class: 'buttons left' }, this.buttons, length), this.clocks, this.key.element,
      h('h3', { class: 'small' }, t.replies), this.replies)
  }

  update(unit: string): void {
    this.unit = unit
    const { commands, link } = this.app
    for (const button of this.buttons) button.disabled = link.is !== 'online' || !commands.can(button.dataset['do'] ?? '')
    this.key.update()
    const known = this.app.fleet.units.get(unit)
    const gap = known && clockGap(known.heard, known.condition)
    this.clocks.hidden = gap === undefined
    setText(this.clocks, gap === undefined ? '' : S.unit.clocks(format.span(Math.abs(gap))))
    const list = commands.sent.filter((sent) => sent.unit === unit).slice(0, REPLIES)
    const look = unit + list.map(({ id, state, why }) => `${id} ${state} ${why}`).join()
    if (look === this.look) return
    this.look = look
    if (list.length === 0) this.replies.replaceChildren(h('li', { class: 'none' }, S.unit.repliesNone))
    else this.replies.replaceChildren(...list.map(replyRow))
  }

  private async pause(): Promise<void> {
    const { unit, pauseFor } = this
    const t = S.unit
    const text = `${t.pauseText} ${t.pauseFor} ${t.pauses[pauseFor] ?? pauseFor}.`
    if (await confirmed(text, t.sureTitle(t.do['pause'] ?? '', unit))) await this.app.send(unit, 'pause', { for: pauseFor })
  }
}

function replyRow(sent: Sent): HTMLElement {
  const t = S.unit
  const why = sent.why ?? ''
  const waiting = sent.until === undefined ? t.sent : t.sentUntil(format.moment(sent.until, sent.at))
  const words = { ok: t.ok, sent: waiting, failed: t.failed(why), refused: t.refused(refusal(sent.reply?.['refused'], sent.why)) }
  const took = sent.answered === undefined ? '' : ` · ${format.seconds((sent.answered - sent.at) / 1000)}`
  return h('li', { class: sent.state }, h('time', null, format.clock(sent.at)), h('b', null, t.do[sent.what] ?? sent.what), h('span', null, words[sent.state] + took))
}
