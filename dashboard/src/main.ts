/** Starts the page. */
import { App } from './app.ts'
import { brokerUrl, fromLink, remembered, wasConnected } from './link/session.ts'
import { isPrefix } from './wire/topics.ts'
import { Shell } from './ui/shell.ts'
import type { Suggested } from './ui/connect.ts'

const app = new App()
const shell = new Shell(app, document.body)
shell.show()

void start()

async function start(): Promise<void> {
  const linked = fromLink(location.hash, location.hostname)
  const restored = app.restore()
  const broker = remembered()
  if (linked) {
    // The address has done its work; what remains is the page.
    history.replaceState(null, '', location.hash.split('?')[0] || '#/now')
    const known = broker?.url === linked.url ? broker : undefined
    const offered = { url: linked.url, prefix: linked.prefix, username: '', password: '', keepPlace: true, ...known }
    await restored
    if (linked.atOnce) await app.connect(offered)
    else shell.askForBroker({ ...offered, linked: true })
  } else {
    const suggested = broker ?? (await configured())
    await restored
    if (broker && wasConnected()) await app.connect(broker)
    else shell.askForBroker(suggested)
  }
}

/** What whoever serves the page suggests, in `config.json` beside it. */
async function configured(): Promise<Suggested | undefined> {
  try {
    const response = await fetch('config.json')
    const config = (await response.json()) as Record<string, unknown>
    const url = typeof config['broker'] === 'string' ? brokerUrl(config['broker']) : undefined
    const prefix = typeof config['prefix'] === 'string' && isPrefix(config['prefix']) ? config['prefix'] : 'tawny'
    return url === undefined ? undefined : { url, prefix, username: '', password: '', keepPlace: true }
  } catch {
    return undefined
  }
}

// Connections die silently while a phone sleeps or changes networks.
addEventListener('online', () => app.hurry())
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) app.hurry()
})
// A unit stops sending a file to which nobody listens.
addEventListener('pagehide', () => app.fetches.cancelAll())
setInterval(() => app.goOnAsking(), 1_000)
