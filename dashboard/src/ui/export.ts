/** The menu of what a page can hand out as a file. */
import { download } from '../share/download.ts'
import { S } from '../strings/index.ts'
import { h } from './dom.ts'
import { icon } from './icons.ts'

export interface Export {
  label: string
  /** What the file's name says of it, after the page's name. */
  name: string
  type: 'csv' | 'jsonl'
  content: () => string
}

const TYPES = { csv: 'text/csv', jsonl: 'application/jsonl' }

export function exportMenu(exports: readonly Export[]): HTMLElement {
  const stamp = (): string => new Date().toISOString().slice(0, 16).replace(/[:T]/g, '-')
  const menu = h('details', { class: 'menu' }, h('summary', null, icon('download'), S.exports.title),
    h('div', { class: 'menu-body' }, exports.map(({ label, name, type, content }) =>
      h('button', { type: 'button', onclick: () => {
        download(`tawny-${name}-${stamp()}.${type}`, TYPES[type], content())
        menu.open = false
      } }, label))))
  return menu
}
