/** The form that asks for the broker. */
import { brokerUrl, type Broker } from '../link/session.ts'
import { S } from '../strings/index.ts'
import { isPrefix } from '../wire/topics.ts'
import { makeDialog } from './dialog.ts'
import { h } from './dom.ts'

/** What the form is filled with; `linked`: the address came from a link. */
export type Suggested = Broker & { linked?: boolean }

export function askForBroker(suggested: Suggested | undefined, connect: (broker: Broker) => void): void {
  const text = S.connect
  const dialog = makeDialog('connect')
  dialog.setTitle(text.title)
  const error = h('p', { class: 'error', role: 'alert' })
  const input = (name: string, value: string, more: Record<string, string> = {}): HTMLInputElement =>
    h('input', { name, value, id: `connect-${name}`, spellcheck: 'false', autocapitalize: 'none', ...more })
  const url = input('url', suggested?.url ?? '', { inputmode: 'url', placeholder: 'wss://', required: '', 'aria-describedby': 'connect-url-hint' })
  const prefix = input('prefix', suggested?.prefix ?? 'tawny', { required: '' })
  const username = input('username', suggested?.username ?? '', { autocomplete: 'off' })
  const password = input('password', suggested?.password ?? '', { type: 'password', autocomplete: 'off' })
  const keep = h('input', { type: 'checkbox', id: 'connect-keep' })
  keep.checked = suggested?.keepPlace ?? true
  const field = (label: string, control: HTMLInputElement, hint?: HTMLElement): HTMLElement =>
    h('div', { class: 'field' }, h('label', { for: control.id }, label), control, hint)

  const submit = (event: Event): void => {
    event.preventDefault()
    const address = brokerUrl(url.value)
    const problem = address === undefined ? text.urlBad
      : location.protocol === 'https:' && address.startsWith('ws:') ? text.urlMixed
        : !isPrefix(prefix.value.trim()) ? text.prefixBad : undefined
    error.textContent = problem ?? ''
    if (problem !== undefined || address === undefined) return
    connect({ url: address, prefix: prefix.value.trim(), username: username.value, password: password.value, keepPlace: keep.checked })
    dialog.close()
  }
  dialog.body.append(
    h('form', { onsubmit: submit, novalidate: true },
      h('p', { class: 'hint' }, suggested?.linked ? text.linked : text.intro),
      field(text.url, url, h('p', { class: 'hint', id: 'connect-url-hint' }, text.urlHint)),
      h('div', { class: 'pair' }, field(text.username, username), field(text.password, password)),
      h('p', { class: 'hint' }, text.secret),
      field(text.prefix, prefix),
      h('label', { class: 'check', for: 'connect-keep' }, keep, h('span', null, text.keepPlace)),
      error,
      h('div', { class: 'buttons' }, h('button', { type: 'submit', class: 'main' }, text.submit)),
    ),
  )
  dialog.element.addEventListener('close', () => dialog.element.remove())
  document.body.append(dialog.element)
  dialog.open()
  url.focus()
}
