/** What surrounds the pages: the bar, the way between pages, the state of the connection. */
import type { App } from '../app.ts'
import { S } from '../strings/index.ts'
import { askForBroker, type Suggested } from './connect.ts'
import { h, setText, svg } from './dom.ts'
import { moment, setZone } from './format.ts'
import { icon } from './icons.ts'
import { hashOf, PAGES, parseRoute, type PageName, type Route } from './route.ts'
import { openSettings } from './settings.ts'
import { NowPage } from './pages/now.ts'
import { PatternPage } from './pages/pattern.ts'
import { TimelinePage } from './pages/timeline.ts'
import { UnitPage } from './pages/unit.ts'

/** One page. Made when it is first looked at, kept afterwards. */
export interface Page {
  readonly element: HTMLElement
  /** The address changed, or the page comes into sight. */
  enter(route: Route): void
  /** Something changed, or time went by. */
  update(now: number): void
}

/** A page that shows much is drawn at most this often while messages pour in. */
const UPDATE_MS = 250
/** Ages ("3 min ago") are told anew this often. */
const TICK_MS = 5_000

export class Shell {
  private readonly main = h('main', { id: 'main', tabindex: '-1' })
  private readonly tabs = new Map<PageName, HTMLAnchorElement[]>()
  private readonly pill = h('button', { class: 'pill', type: 'button', onclick: () => this.openSettings() }, h('span', { class: 'dot' }), h('span'))
  private readonly banner = h('div', { class: 'banner', role: 'status' })
  private readonly pages = new Map<PageName, Page>()
  private current?: Page
  private drawn = 0
  /** Crossings that had come when the page was last in sight. */
  private counted = 0
  private timer?: ReturnType<typeof setTimeout>

  constructor(private readonly app: App, private readonly body: HTMLElement) {
    app.onChange(() => this.later())
    addEventListener('hashchange', () => this.navigate())
    // A phone that is turned shows the pattern the other way round.
    addEventListener('resize', () => this.later())
    setInterval(() => this.later(), TICK_MS)
  }

  show(): void {
    document.title = S.name
    document.documentElement.lang = S.language
    const nav = (place: string): HTMLElement =>
      h('nav', { class: place, 'aria-label': S.nav }, PAGES.map((page) => {
        const link = h('a', { href: hashOf(page) }, icon(page), h('span', null, S.pages[page]))
        this.tabs.set(page, [...(this.tabs.get(page) ?? []), link])
        return link
      }))
    const settings = h('button', { class: 'quiet round', type: 'button', 'aria-label': S.settings.title, onclick: () => this.openSettings() }, icon('settings'))
    this.body.replaceChildren(
      h('a', { class: 'skip', href: '#main', onclick: (event: Event) => { event.preventDefault(); this.main.focus() } }, S.skip),
      h('header', { class: 'bar' }, h('a', { class: 'brand', href: hashOf('now') }, mark(), h('span', null, S.name)), nav('tabs'), h('div', { class: 'right' }, this.pill, settings)),
      this.banner, this.main, nav('tabs-below'),
    )
    this.navigate()
  }

  askForBroker(suggested?: Suggested): void {
    askForBroker(suggested ?? this.app.broker, (broker) => void this.app.connect(broker))
  }

  private openSettings(): void {
    if (this.app.link.is === 'off' && !this.app.broker) this.askForBroker()
    else openSettings(this.app, () => this.askForBroker())
  }

  private navigate(): void {
    const route = parseRoute(location.hash)
    let page = this.pages.get(route.page)
    if (!page) this.pages.set(route.page, (page = this.make(route.page)))
    for (const [name, links] of this.tabs) {
      for (const link of links) {
        if (name === route.page) link.setAttribute('aria-current', 'page')
        else link.removeAttribute('aria-current')
      }
    }
    applySettings(this.app)
    if (this.current !== page) {
      this.main.replaceChildren(page.element)
      this.main.scrollTop = 0
    }
    this.current = page
    page.enter(route)
    this.draw()
  }

  private make(name: PageName): Page {
    switch (name) {
      case 'now': return new NowPage(this.app, () => this.askForBroker())
      case 'timeline': return new TimelinePage(this.app)
      case 'pattern': return new PatternPage(this.app)
      case 'unit': return new UnitPage(this.app)
    }
  }

  private later(): void {
    if (this.timer !== undefined) return
    this.timer = setTimeout(() => this.draw(), Math.max(0, this.drawn + UPDATE_MS - Date.now()))
  }

  private draw(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.drawn = Date.now()
    applySettings(this.app)
    this.drawLink()
    this.drawTitle()
    this.current?.update(Date.now())
  }

  private drawLink(): void {
    const { link } = this.app
    this.pill.dataset['state'] = link.is
    setText(this.pill.lastElementChild as Element, S.link[link.is])
    this.pill.setAttribute('aria-label', `${S.link[link.is]}. ${S.settings.broker}: ${this.app.broker?.url ?? S.none}`)
    const problem = this.problem()
    this.banner.hidden = problem === undefined
    if (problem !== this.banner.dataset['text']) {
      this.banner.dataset['text'] = problem ?? ''
      this.banner.replaceChildren(h('p', null, problem ?? ''))
      if (link.is === 'waiting') this.banner.append(h('button', { type: 'button', onclick: () => this.app.hurry() }, S.link.tryNow))
      if (link.is === 'refused') this.banner.append(h('button', { type: 'button', onclick: () => this.askForBroker() }, S.settings.change))
    }
    document.body.classList.toggle('stale', link.is === 'waiting' || link.is === 'refused')
  }

  private problem(): string | undefined {
    const { link } = this.app
    if (link.is === 'waiting') return this.app.fleet.units.size > 0 ? S.link.banner(moment(link.since, Date.now())) : S.link.bannerFirst
    if (link.is !== 'refused') return undefined
    if (link.why === 'login') return S.link.login
    if (link.why === 'rules') return S.link.rules
    return link.why === 'taken over' ? S.link.takenOver : S.link.refusedWhy(link.why)
  }

  /** Crossings that came while the page was out of sight are counted in its title. */
  private drawTitle(): void {
    if (!document.hidden) this.counted = this.app.crossings
    const n = this.app.crossings - this.counted
    const title = `${n > 0 ? `(${n}) ` : ''}${S.name}`
    if (document.title !== title) document.title = title
  }
}

function applySettings(app: App): void {
  setZone(app.settings.zone)
  const { theme } = app.settings
  if (theme === 'auto') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme
}

/** Two eyes under one brow. */
function mark(): SVGSVGElement {
  return svg('svg', { viewBox: '0 0 32 32', class: 'mark', 'aria-hidden': 'true' },
    svg('path', { d: 'M4 11c3.5-5 9-5 12 0c3-5 8.5-5 12 0' }),
    svg('circle', { cx: 10, cy: 18, r: 5 }), svg('circle', { cx: 22, cy: 18, r: 5 }),
    svg('circle', { cx: 10, cy: 18, r: 1.5, class: 'pupil' }), svg('circle', { cx: 22, cy: 18, r: 1.5, class: 'pupil' }),
    svg('path', { d: 'M16 22.5v3.5' }))
}
