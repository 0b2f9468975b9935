/** A modal dialog with a title and a button to close it. */
import { S } from '../strings/index.ts'
import { h } from './dom.ts'
import { icon } from './icons.ts'

export interface Dialog {
  element: HTMLDialogElement
  body: HTMLElement
  setTitle: (title: string) => void
  open: () => void
  close: () => void
}

export function makeDialog(kind: string): Dialog {
  const title = h('h2', { id: `${kind}-title` })
  const body = h('div', { class: 'dialog-body' })
  const close = h('button', { class: 'quiet round', type: 'button', 'aria-label': S.close, onclick: () => element.close() }, icon('close'))
  const element = h('dialog', { class: `dialog ${kind}`, 'aria-labelledby': `${kind}-title` }, h('header', null, title, close), body)
  // A press beside the dialog closes it, as on any phone.
  element.addEventListener('click', (event) => {
    if (event.target === element) element.close()
  })
  return {
    element,
    body,
    setTitle: (value) => title.replaceChildren(value),
    open: () => {
      if (!element.open) element.showModal()
    },
    close: () => element.close(),
  }
}

/** Asks for a yes. */
export function confirmed(text: string, yes: string): Promise<boolean> {
  return new Promise((resolve) => {
    const dialog = makeDialog('confirm')
    dialog.setTitle(yes)
    let answer = false
    const no = h('button', { type: 'button', onclick: () => dialog.close() }, S.settings.cancel)
    const act = h('button', { type: 'button', class: 'danger', onclick: () => { answer = true; dialog.close() } }, yes)
    dialog.body.append(h('p', null, text), h('div', { class: 'buttons' }, no, act))
    dialog.element.addEventListener('close', () => {
      dialog.element.remove()
      resolve(answer)
    })
    document.body.append(dialog.element)
    dialog.open()
    no.focus()
  })
}
