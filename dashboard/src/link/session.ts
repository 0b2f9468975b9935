/**
 * Which broker, and as whom. The login stays in this tab's session storage and
 * is gone when the tab is closed; it is bound to its broker's address and never
 * sent to another. The address and the like, which are no secrets, are kept.
 */
import { isPrefix } from '../wire/topics.ts'

export interface Broker {
  url: string
  prefix: string
  username: string
  password: string
  /** Whether the broker shall keep messages for this browser for a day. */
  keepPlace: boolean
}

const LOGIN = 'tawny.login'
const PLACE = 'tawny.broker'
const CLIENT = 'tawny.client'

export const KEEP_S = 24 * 3600

/** The address as the browser's parser understands it, if it is one of a broker. */
export function brokerUrl(value: string): string | undefined {
  const trimmed = value.trim()
  try {
    const url = new URL(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `wss://${trimmed}`)
    const known = url.protocol === 'ws:' || url.protocol === 'wss:'
    return known && url.hostname !== '' && url.username === '' && url.password === '' && url.hash === '' ? url.href : undefined
  } catch {
    return undefined
  }
}

export function isLoopback(url: string): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/** What was chosen last, with the login if this tab still has it. */
export function remembered(): Broker | undefined {
  const place = read(localStorage, PLACE)
  if (!place || typeof place['url'] !== 'string') return undefined
  const url = brokerUrl(place['url'])
  if (!url) return undefined
  const prefix = typeof place['prefix'] === 'string' && isPrefix(place['prefix']) ? place['prefix'] : 'tawny'
  const login = read(sessionStorage, LOGIN)
  const mine = login?.['url'] === url
  return {
    url,
    prefix,
    username: mine && typeof login['username'] === 'string' ? login['username'] : '',
    password: mine && typeof login['password'] === 'string' ? login['password'] : '',
    keepPlace: place['keepPlace'] !== false,
  }
}

/** Whether this tab was connected before it was reloaded. */
export function wasConnected(): boolean {
  return read(sessionStorage, LOGIN) !== undefined
}

export function remember({ url, prefix, username, password, keepPlace }: Broker): void {
  localStorage.setItem(PLACE, JSON.stringify({ url, prefix, keepPlace }))
  sessionStorage.setItem(LOGIN, JSON.stringify({ url, username, password }))
}

/** Forgets the login, as at a disconnection asked for. */
export function forgetLogin(): void {
  sessionStorage.removeItem(LOGIN)
}

/**
 * The address that a link to this page names (`#…?broker=ws://…`), to be offered
 * in the form. Only one on this very machine, to a page from this very machine,
 * may be connected to without asking: anybody can write a link.
 */
export function fromLink(hash: string, pageHost: string): { url: string; prefix: string; atOnce: boolean } | undefined {
  const query = new URLSearchParams(hash.split('?')[1] ?? '')
  const url = brokerUrl(query.get('broker') ?? '')
  if (!query.has('broker') || !url) return undefined
  const prefix = query.get('prefix') ?? 'tawny'
  const local = pageHost === 'localhost' || pageHost === '127.0.0.1' || pageHost === '[::1]'
  return { url, prefix: isPrefix(prefix) ? prefix : 'tawny', atOnce: local && isLoopback(url) }
}

/**
 * The name of this client. One tab of a browser holds the lasting one, under
 * which the broker keeps messages; others take a name for the moment.
 */
export async function clientName(keepPlace: boolean): Promise<{ clientId: string; lasting: boolean }> {
  const random = (): string => `tawny-web-${randomHex(8)}`
  if (!keepPlace || !(await holdForThisTab())) return { clientId: random(), lasting: false }
  let clientId = localStorage.getItem(CLIENT)
  if (!clientId || !/^tawny-web-[0-9a-f]{16}$/.test(clientId)) {
    clientId = random()
    localStorage.setItem(CLIENT, clientId)
  }
  return { clientId, lasting: true }
}

let held: Promise<boolean> | undefined

/** Takes a lock that lasts as long as the tab; `false` if another tab has it. */
function holdForThisTab(): Promise<boolean> {
  held ??= new Promise((resolve) => {
    // Only where the page is served over TLS or from this machine.
    if (!('locks' in navigator)) return resolve(false)
    const options = { ifAvailable: true }
    void navigator.locks.request('tawny-client', options, (lock) => {
      resolve(lock !== null)
      return lock === null ? undefined : new Promise<void>(() => {})
    })
  })
  return held
}

export function randomHex(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function read(storage: Storage, key: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(storage.getItem(key) ?? 'null')
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
