// The world around the page in the tests: a broker, a unit, a web server, a
// browser. All on loopback, all ended by `world.end()`.
import { spawn } from 'node:child_process'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..')
const dist = path.join(root, 'dashboard/dist')
export const shots = path.join(root, 'dashboard/screenshots')

// An operator's: test 1 of RFC 8032, section 7.1, never a key of anybody.
export const SECRET = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
export const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'

export class World {
  static async start() {
    const world = new World()
    world.folder = await mkdtemp(path.join(tmpdir(), 'tawny-dashboard-'))
    await mkdir(shots, { recursive: true })
    ;[world.mqttPort, world.wsPort] = [await freePort(), await freePort()]
    await world.startBroker()
    await world.serve()
    return world
  }

  processes = []

  async startBroker(more = 'allow_anonymous true') {
    const file = path.join(this.folder, 'mosquitto.conf')
    await writeFile(file, `listener ${this.mqttPort} 127.0.0.1\nlistener ${this.wsPort} 127.0.0.1\nprotocol websockets\n${more}\npersistence false\nmax_queued_messages 0\n`)
    this.broker = this.run('mosquitto', ['-c', file])
    await until(() => canConnect(this.wsPort), 'mosquitto')
  }

  async stopBroker() {
    await end(this.broker)
  }

  /** A real Tawny that watches the bundled clips. */
  async startTawny(unit, { loop = false, further = '', tables = '', cameras = ['street', 'people'] } = {}) {
    const clips = path.join(root, 'tests/data/clips')
    const camera = (name) => `
[[camera]]
name = "${name}"
source = "${path.join(clips, `${name}.mp4`)}"
loop = ${loop}
  [[camera.tripwire]]
  name = "line"
  anchor = "center"
  from = [0.5, 1.0]
  to = [0.5, 0.0]
  forward = "right"
  backward = "left"
`
    const config = `
[unit]
id = "${unit}"
[journal]
path = "${path.join(this.folder, `${unit}.db`)}"
[health]
interval = "2s"
[uplink]
broker = "mqtt://127.0.0.1:${this.mqttPort}"
${further}
${tables}
${cameras.map(camera).join('')}`
    const file = path.join(this.folder, `${unit}.toml`)
    await writeFile(file, config)
    return this.run(tawnyProgram(), ['run', '--config', file])
  }

  run(program, args) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } })
    child.output = ''
    const note = (data) => (child.output = (child.output + data).slice(-20_000))
    child.stdout.on('data', note)
    child.stderr.on('data', note)
    child.on('error', (error) => note(String(error)))
    this.processes.push(child)
    return child
  }

  /** A plain static server, without compression; counts what it sends. */
  async serve() {
    const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' }
    this.sent = 0
    this.server = http.createServer((request, response) => {
      const name = new URL(request.url, 'http://x').pathname.replace(/^\/$/, '/index.html')
      const file = path.join(dist, path.basename(name))
      if (!existsSync(file)) return response.writeHead(404).end()
      response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'text/plain', 'cache-control': 'no-store' })
      createReadStream(file).on('data', (data) => (this.sent += data.length)).pipe(response)
    })
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    this.page = `http://127.0.0.1:${this.server.address().port}/`
    this.url = `${this.page}#/now?broker=ws://127.0.0.1:${this.wsPort}`
  }

  async browser() {
    const program = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((file) => existsSync(file))
    this.chromium ??= await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
    return this.chromium
  }

  /** A fresh profile with one tab. Whatever the page complains about is in `page.complaints`. */
  async tab(options = {}) {
    const browser = await this.browser()
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce', timezoneId: 'Europe/Berlin', locale: 'en-GB', ...options })
    const page = await context.newPage()
    page.complaints = []
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') page.complaints.push(message.text())
    })
    page.on('pageerror', (error) => page.complaints.push(String(error)))
    return page
  }

  /** Ends one program, or everything. */
  async end(child) {
    if (child) return end(child)
    await this.chromium?.close()
    this.server?.close()
    this.server?.closeAllConnections?.()
    for (const child of this.processes.reverse()) await end(child)
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** The program under test. */
export function tawnyProgram() {
  const program = [process.env.TAWNY, path.join(root, 'target/release/tawny'), path.join(root, 'target/debug/tawny')].find((file) => file && existsSync(file))
  if (!program) throw new Error('no tawny: build it, or name it in TAWNY')
  return program
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const insist = setTimeout(() => child.kill('SIGKILL'), 8_000)
  await gone
  clearTimeout(insist)
}

export async function until(holds, what, seconds = 30) {
  const limit = Date.now() + seconds * 1000
  for (;;) {
    const value = await holds()
    if (value) return value
    if (Date.now() > limit) throw new Error(`not within ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Until the same is told a few times in a row: what is drawn on the way there does not count. */
export async function settled(tells, times = 4) {
  let last
  let same = 0
  return until(async () => {
    const now = JSON.stringify(await tells())
    same = now === last ? same + 1 : 0
    last = now
    return same >= times && { told: JSON.parse(now) }
  }, 'that nothing changes any more').then(({ told }) => told)
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true) || socket.destroy())
    socket.on('error', () => resolve(false))
  })
}

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
