/** The settings: broker, zone, appearance, what is kept, and forgetting it. */
import type { App } from '../app.ts'
import { S } from '../strings/index.ts'
import { confirmed, makeDialog } from './dialog.ts'
import { choice, h } from './dom.ts'
import { setZone, zoneName } from './format.ts'

export function openSettings(app: App, changeBroker: () => void): void {
  const text = S.settings
  const dialog = makeDialog('settings')
  dialog.setTitle(text.title)
  const { settings } = app
  setZone('local')
  const local = zoneName(Date.now())
  setZone(settings.zone)
  const close = (): void => dialog.close()
  dialog.body.append(
    h('div', { class: 'field' },
      h('h3', null, text.broker),
      h('p', { class: 'mono wrap' }, app.broker ? `${app.broker.url} · ${app.broker.prefix}` : S.link.off),
      h('div', { class: 'buttons left' },
        h('button', { type: 'button', onclick: () => { close(); changeBroker() } }, text.change),
        app.link.is === 'off' ? null : h('button', { type: 'button', onclick: () => { app.disconnect(); close() } }, S.connect.disconnect))),
    choice(text.zone, [['local', text.zoneLocal(local)], ['utc', text.zoneUtc]], settings.zone,
      (zone) => app.setSettings({ zone: zone === 'utc' ? 'utc' : 'local' })),
    choice(text.theme, [['auto', text.themeAuto], ['light', text.themeLight], ['dark', text.themeDark]], settings.theme,
      (theme) => app.setSettings({ theme: theme === 'light' || theme === 'dark' ? theme : 'auto' })),
    h('div', { class: 'field' },
      h('h3', null, text.kept),
      h('p', null, text.keptText(app.fleet.book.events.length, app.stills.count)),
      app.keeps ? null : h('p', { class: 'warn' }, text.notKept),
      app.letGo > 0 ? h('p', null, text.letGo(app.letGo)) : null,
      app.unreadable > 0 ? h('p', { class: 'warn' }, text.unreadable(app.unreadable)) : null,
      h('div', { class: 'buttons left' },
        h('button', { type: 'button', class: 'danger', onclick: () => void forget(app) }, text.forget))),
  )
  dialog.element.addEventListener('close', () => dialog.element.remove())
  document.body.append(dialog.element)
  dialog.open()
}

async function forget(app: App): Promise<void> {
  if (await confirmed(S.settings.forgetSure, S.settings.forgetYes)) await app.forgetEverything()
}
