/**
 * A list of any length of which only what is in sight exists. Rows have one of
 * two heights (a heading, an item), so that every place is known without
 * measuring. New rows above do not move what is being read.
 */
import { h, setStyle } from './dom.ts'

export interface Row {
  /** The same row has the same key when the list changes. */
  key: string
  heading: boolean
}

export interface ListOptions<R extends Row> {
  label: string
  heights: () => { heading: number; item: number }
  render: (row: R) => HTMLElement
  /** Changes when a row has to be drawn anew. */
  look: (row: R) => string
  onScroll?: (top: boolean) => void
}

/** Rows drawn beyond the edges of what is in sight, px. */
const MARGIN = 600

export class VirtualList<R extends Row> {
  readonly element: HTMLElement
  private readonly body: HTMLElement
  private rows: R[] = []
  private tops = new Float64Array(1)
  private readonly shown = new Map<string, { element: HTMLElement; look: string; index: number }>()
  private focused?: string
  private scheduled = false

  constructor(private readonly options: ListOptions<R>) {
    this.body = h('ol', { class: 'rows', 'aria-label': options.label })
    this.element = h('div', { class: 'list', tabindex: '0', role: 'group', 'aria-label': options.label }, this.body)
    this.element.addEventListener('scroll', () => {
      this.options.onScroll?.(this.element.scrollTop < 8)
      this.later()
    }, { passive: true })
    this.element.addEventListener('keydown', (event) => this.key(event))
    this.element.addEventListener('focusin', ({ target }) => {
      this.focused = (target as HTMLElement).closest<HTMLElement>('[data-key]')?.dataset['key']
    })
    this.element.addEventListener('focusout', () => (this.focused = undefined))
    new ResizeObserver(() => {
      this.place()
      this.draw()
    }).observe(this.element)
  }

  /** Puts other rows in; `keep`: what is in sight stays where it is. */
  set(rows: R[], keep: boolean): void {
    const scroll = this.element.scrollTop
    const index = this.at(scroll)
    const anchor = keep && scroll > 8 ? this.rows[index]?.key : undefined
    const offset = scroll - (this.tops[index] ?? 0)
    this.rows = rows
    this.place()
    if (anchor !== undefined) {
      const now = rows.findIndex(({ key }) => key === anchor)
      if (now >= 0) this.element.scrollTop = (this.tops[now] ?? 0) + offset
    } else if (!keep) {
      this.element.scrollTop = 0
    }
    this.draw()
  }

  toTop(): void {
    this.element.scrollTop = 0
  }

  private place(): void {
    const { heading, item } = this.options.heights()
    this.tops = new Float64Array(this.rows.length + 1)
    let top = 0
    this.rows.forEach((row, i) => {
      this.tops[i] = top
      top += row.heading ? heading : item
    })
    this.tops[this.rows.length] = top
    setStyle(this.body, { height: `${top}px` })
  }

  private later(): void {
    if (this.scheduled) return
    this.scheduled = true
    requestAnimationFrame(() => {
      this.scheduled = false
      this.draw()
    })
  }

  /** The row at a height. */
  private at(y: number): number {
    let low = 0
    let high = this.rows.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.tops[middle + 1] ?? 0) <= y) low = middle + 1
      else high = middle
    }
    return low
  }

  private draw(): void {
    const { scrollTop, clientHeight } = this.element
    const first = this.at(Math.max(0, scrollTop - MARGIN))
    const last = Math.min(this.rows.length, this.at(scrollTop + clientHeight + MARGIN) + 1)
    const wanted = new Set(this.rows.slice(first, last).map(({ key }) => key))
    for (const [key, { element }] of this.shown) {
      // The row that has the focus stays, wherever it went.
      if (wanted.has(key) || (key === this.focused && this.rows.some((row) => row.key === key))) continue
      element.remove()
      this.shown.delete(key)
    }
    for (let i = first; i < last; i++) this.put(i)
    this.order(first, last)
  }

  /** Those who read with their ears go by the order of the elements, not by their place. */
  private order(first: number, last: number): void {
    let next = this.body.firstElementChild
    for (let i = first; i < last; i++) {
      const element = this.shown.get((this.rows[i] as R).key)?.element
      if (element === undefined) continue
      if (element === next) next = next.nextElementSibling
      else this.body.insertBefore(element, next)
    }
  }

  private put(index: number): void {
    const row = this.rows[index] as R
    const look = this.options.look(row)
    let shown = this.shown.get(row.key)
    if (!shown || shown.look !== look) {
      const hadFocus = shown !== undefined && shown.element.contains(document.activeElement)
      const element = this.options.render(row)
      element.dataset['key'] = row.key
      if (shown) shown.element.replaceWith(element)
      else this.body.append(element)
      if (hadFocus) element.querySelector<HTMLElement>('button')?.focus({ preventScroll: true })
      shown = { element, look, index: -1 }
      this.shown.set(row.key, shown)
    }
    shown.index = index
    shown.element.setAttribute('aria-setsize', String(this.rows.length))
    shown.element.setAttribute('aria-posinset', String(index + 1))
    setStyle(shown.element, { transform: `translateY(${this.tops[index] ?? 0}px)` })
  }

  /** Arrows go from row to row, Page Up and Down and Home and End as in any list. */
  private key(event: KeyboardEvent): void {
    const { key } = event
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.options.heights().item) - 1)
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }
    const step = steps[key]
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey || this.rows.length === 0) return
    event.preventDefault()
    const current = this.focused === undefined ? -1 : this.shown.get(this.focused)?.index ?? -1
    const start = current >= 0 ? current : this.at(this.element.scrollTop) - 1
    let to = Math.min(Math.max(start + step, 0), this.rows.length - 1)
    while (this.rows[to]?.heading) to += to === this.rows.length - 1 || (step < 0 && to > 0) ? -1 : 1
    this.focus(to)
  }

  private focus(index: number): void {
    const top = this.tops[index] ?? 0
    const bottom = this.tops[index + 1] ?? top
    const { scrollTop, clientHeight } = this.element
    const heading = this.options.heights().heading
    if (top < scrollTop + heading) this.element.scrollTop = Math.max(0, top - heading)
    else if (bottom > scrollTop + clientHeight) this.element.scrollTop = bottom - clientHeight
    this.draw()
    const row = this.rows[index]
    if (row) this.shown.get(row.key)?.element.querySelector<HTMLElement>('button')?.focus({ preventScroll: true })
  }
}
