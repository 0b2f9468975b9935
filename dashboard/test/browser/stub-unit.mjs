// A unit that has files to give, as docs/reference/commands.md and wire.md say it:
// for tests of what a real one does seldom (breaks, mistakes, refusals).
import { createHash, createPublicKey, verify } from 'node:crypto'
import net from 'node:net'
import { generate, parser } from 'mqtt-packet'

const PART = 4096

export class StubUnit {
  /** Commands that came, as their signers wrote them. */
  commands = []
  /** Bytes of parts published. */
  sent = 0
  /** By what is asked for ("clip <id>", "still <id>", "full <id>", "now <camera>"): { type, data } or { refused }. */
  files = new Map()
  /** Whether its clock is ahead: whatever comes comes too late. */
  late = false
  /** Ms between two parts. */
  pause = 0
  /** Called after each part; what it gives back is published instead of the next one's bytes. */
  spoil = undefined

  constructor(port, unit, publicHex) {
    Object.assign(this, { port, unit, publicHex, base: `tawny/${unit}`, log: 'stub01', waiting: new Map(), nextId: 1 })
  }

  async connect() {
    const { base } = this
    this.socket = net.connect(this.port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.up = true
    this.socket.on('close', () => {
      this.up = false
      for (const resolve of this.waiting.values()) resolve()
      this.waiting.clear()
    })
    const codec = parser({ protocolVersion: 5 })
    this.socket.on('data', (data) => codec.parse(data))
    const connected = new Promise((resolve) => (this.connected = resolve))
    codec.on('packet', (packet) => this.take(packet))
    this.write({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: `stub-${this.unit}`, keepalive: 60 })
    await connected
    this.write({ cmd: 'subscribe', messageId: 60_000, subscriptions: [{ topic: `${base}/cmd`, qos: 1 }] })
    await this.tell('online')
  }

  async end() {
    const gone = new Promise((resolve) => this.socket.once('close', resolve))
    this.socket.destroy()
    await gone
  }

  /** Its status and health. */
  async tell(state, cameras = ['road', 'yard']) {
    const common = { v: 1, t: new Date().toISOString(), log: this.log, seq: this.seq ?? 0, low: this.seq ?? 0, boot: '0badcafe', version: '0.1.0' }
    await this.publish('status', JSON.stringify({ ...common, state }), true)
    const health = { ...common, up_s: 4000, disk_free_mb: 18_000, clock: { ts: 'ntp', tu: 8 }, journal: { queued: 0 }, cameras: cameras.map((name) => ({ name, up: true, age_s: 0.1, gate: { mode: 'closed' } })) }
    await this.publish('health', JSON.stringify(health), true)
  }

  async event(kind, at, more) {
    this.seq = (this.seq ?? 0) + 1
    const e = { v: 1, unit: this.unit, log: this.log, seq: this.seq, kind, t: new Date(at).toISOString(), tu: 8, ts: 'ntp', boot: '0badcafe', m: 1, ...more }
    await this.publish(`event/${kind}`, JSON.stringify(e))
  }

  /** Published, and taken by the broker; or the connection broke. */
  publish(topic, payload, retain = false) {
    if (!this.up) return Promise.resolve()
    const messageId = this.nextId
    this.nextId = (this.nextId % 50_000) + 1
    const acknowledged = new Promise((resolve) => this.waiting.set(messageId, resolve))
    this.write({ cmd: 'publish', qos: 1, dup: false, retain, topic: `${this.base}/${topic}`, payload, messageId })
    return acknowledged
  }

  write(packet) {
    this.socket.write(generate(packet, { protocolVersion: 5 }))
  }

  take(packet) {
    if (packet.cmd === 'connack') this.connected()
    if (packet.cmd === 'puback') {
      this.waiting.get(packet.messageId)?.()
      this.waiting.delete(packet.messageId)
    }
    if (packet.cmd !== 'publish') return
    this.write({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 })
    void this.obey(JSON.parse(packet.payload.toString()))
  }

  async obey({ id, log, n, until, boot, key, sig, cmd }) {
    const refuse = (refused, why = `refused: ${refused}`) => this.publish(`reply/${id}`, JSON.stringify({ id, ok: false, n, log: this.log, refused, why }))
    const text = `tawny command v2\n${this.base}\n${log}\n${id}\n${n}\n${cmd}\n${until} ${boot}`
    if (!sig || key !== this.publicHex || boot !== '0badcafe' || !this.signed(text, sig)) return refuse('signature')
    const left = Date.parse(until) - Date.now()
    if (this.late || !(left > 0 && left < 86_400_000)) return refuse('stale', `it held until ${until}`)
    const command = JSON.parse(cmd)
    this.commands.push(command)
    const name = command.cam ? `now ${command.cam}` : command.full ? `full ${command.of}` : `${command.do} ${command.of}`
    const file = this.files.get(name)
    if (!file || file.refused) return refuse(file?.refused ?? 'missing', file?.why)
    const { type, data } = file
    const from = command.from ?? 0
    const sha256 = createHash('sha256').update(data).digest('hex')
    const head = { type, bytes: data.length, sha256, from }
    await this.publish(`reply/${id}`, JSON.stringify({ id, ok: true, n, log: this.log, seq: this.seq, low: this.seq, file: head }))
    for (let at = from; at < data.length && this.up; at += PART) {
      const part = data.subarray(at, at + PART)
      await this.publish(`part/${id}/${at}`, this.spoil?.(at, part) ?? part)
      this.sent += part.length
      if (this.pause > 0) await new Promise((resolve) => setTimeout(resolve, this.pause))
    }
  }

  signed(text, sig) {
    // What stands before the 32 bytes of a public key (RFC 8410).
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(this.publicHex, 'hex')])
    return verify(null, Buffer.from(text), createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(sig, 'hex'))
  }
}
