/**
 * One file that a unit can be asked for: its button, how far it has come, and
 * what came. Made once; `update` writes what changed, so that a video goes on
 * playing and the button keeps the focus.
 */
import type { App } from '../app.ts'
import { isRunning, type Fetch, type Wanted } from '../fetch/fetches.ts'
import { presence } from '../model/presence.ts'
import { S } from '../strings/index.ts'
import { h, setText } from './dom.ts'
import * as format from './format.ts'
import { refusal } from './words.ts'

/** So long without news of a file that is coming is worth a word. */
const STALLED_MS = 30_000

export interface FetchText {
  /** The button's. */
  label: string
  /** What the picture or the video shows. */
  alt: (fetch: Fetch) => string
  /** What is told when it is there. */
  done?: (fetch: Fetch, size: string) => string
  /** The name under which it is saved, without the extension. */
  file: (fetch: Fetch) => string
  /** Whether it is shown here: not if it has another place on the page. */
  shown: boolean
}

export class FetchView {
  readonly element: HTMLElement
  private readonly button: HTMLButtonElement
  private readonly again: HTMLButtonElement
  private readonly save = h('a', { class: 'button', hidden: true }, S.fetch.save)
  private readonly progress: HTMLProgressElement
  private readonly words = h('span', { role: 'status' })
  private readonly figures = h('span', { class: 'so-far' })
  private readonly holder = h('div', { class: 'fetched' })
  private shown?: string

  constructor(
    private readonly app: App,
    private readonly unit: string,
    private readonly wanted: () => Wanted,
    private readonly text: FetchText,
  ) {
    this.button = h('button', { type: 'button', onclick: () => this.press() })
    this.again = h('button', { type: 'button', hidden: true, onclick: () => {
      const fetch = this.fetch
      // The button is about to go.
      this.button.focus()
      if (fetch) void app.fetches.goOn(fetch, Date.now())
    } }, S.fetch.goOn)
    this.progress = h('progress', { max: 1, hidden: true, 'aria-label': S.fetch.progress(text.label) })
    this.element = h('div', { class: 'fetch' },
      h('div', { class: 'fetch-row' }, this.button, this.again, this.save, this.words, this.figures), this.progress, this.holder)
  }

  update(now: number): void {
    const { app, fetch, text } = this
    const running = fetch !== undefined && isRunning(fetch)
    setText(this.button, running ? S.fetch.cancel : text.label)
    this.button.disabled = !running && (app.link.is !== 'online' || !app.commands.can(this.wanted().do))
    const stalled = (fetch?.state === 'asking' || fetch?.state === 'coming') && now - fetch.heardAt > STALLED_MS
    this.again.hidden = !stalled
    this.element.dataset['state'] = fetch?.state ?? ''
    setText(this.words, fetch ? this.tell(fetch, stalled ? now - fetch.heardAt : 0) : '')
    this.drawProgress(fetch)
    this.draw(fetch?.state === 'done' ? fetch : undefined)
  }

  private get fetch(): Fetch | undefined {
    return this.app.fetches.of(this.unit, this.wanted())
  }

  private press(): void {
    const { app, fetch } = this
    if (fetch && isRunning(fetch)) app.fetches.cancel(fetch)
    else app.fetches.start(this.unit, this.wanted(), Date.now())
    app.changed()
  }

  private tell(fetch: Fetch, stalledMs: number): string {
    const t = S.fetch
    switch (fetch.state) {
      case 'asking': return this.away() ? t.askingAsleep : t.asking
      case 'coming': return stalledMs > 0 ? t.stalled(format.span(stalledMs)) : t.coming
      case 'waiting': return fetch.until === undefined ? t.waiting : t.busy
      case 'checking': return t.checking
      case 'refused': return S.unit.refused(refusal(fetch.refused, fetch.why))
      case 'failed': return [t.failed[fetch.failure ?? 'unexpected'], fetch.why].filter(Boolean).join(': ')
      case 'done': {
        const size = format.bytes(fetch.blob?.size ?? 0)
        return this.text.done?.(fetch, size) ?? t.done(size)
      }
    }
  }

  /** Whether the command waits at the broker for the unit. */
  private away(): boolean {
    const { is } = presence(this.app.fleet.unit(this.unit).heard, Date.now())
    return is !== 'online' && is !== 'unknown'
  }

  private drawProgress(fetch: Fetch | undefined): void {
    const assembly = fetch?.assembly
    this.progress.hidden = !assembly
    setText(this.figures, assembly ? S.fetch.figures(format.bytes(assembly.received), format.bytes(assembly.file.bytes)) : '')
    if (!assembly) return
    this.progress.max = assembly.file.bytes
    this.progress.value = assembly.received
  }

  private draw(fetch: Fetch | undefined): void {
    if (fetch?.url === this.shown) return
    this.shown = fetch?.url
    this.save.hidden = fetch === undefined
    if (!fetch?.url) return this.holder.replaceChildren()
    this.save.href = fetch.url
    this.save.download = `${this.text.file(fetch)}${fetch.wanted.do === 'clip' ? '.mp4' : '.jpg'}`
    if (this.text.shown) this.holder.replaceChildren(fetch.wanted.do === 'clip' ? this.video(fetch, fetch.url) : h('img', { src: fetch.url, alt: this.text.alt(fetch) }))
  }

  private video(fetch: Fetch, url: string): HTMLElement {
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches
    // Clips have no sound.
    const video = h('video', { controls: true, playsinline: true, muted: true, preload: 'auto', autoplay: !still, src: url, 'aria-label': this.text.alt(fetch) })
    const problem = h('p', { class: 'warn', role: 'alert' })
    video.muted = true
    video.addEventListener('error', () => {
      video.hidden = true
      problem.textContent = S.fetch.cannotPlay
    })
    return h('div', null, video, problem)
  }
}

/** Says that a key is needed, and where to give it; nothing if one is held. */
export class KeyHint {
  readonly element: HTMLElement

  constructor(private readonly app: App, ...where: (Node | null)[]) {
    this.element = h('p', { class: 'hint' }, S.fetch.needsKey, ' ', where)
  }

  update(): void {
    this.element.hidden = this.app.commands.can('still')
  }
}
