import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Buffer } from 'node:buffer'
import { generate, parser, type Packet } from 'mqtt-packet'
import { Link, type LinkState } from '../../src/link/client.ts'
import { subscriptions } from '../../src/wire/topics.ts'

/** A socket whose other end is the test. */
class Socket {
  static readonly OPEN = 1
  static last: Socket
  readyState = 1
  binaryType = ''
  onopen?: () => void
  onmessage?: (event: { data: ArrayBuffer }) => void
  onclose?: () => void
  readonly sent: Packet[] = []
  private readonly parser = parser({ protocolVersion: 5 })

  constructor() {
    Socket.last = this
    this.parser.on('packet', (packet: Packet) => this.sent.push(packet))
  }

  send(bytes: Uint8Array): void {
    this.parser.parse(Buffer.from(bytes))
  }

  close(): void {
    this.readyState = 3
  }

  answer(packet: object): void {
    const bytes = Uint8Array.from(generate(packet as Packet, { protocolVersion: 5 }) as Buffer)
    this.onmessage?.({ data: bytes.buffer })
  }
}
Object.defineProperty(globalThis, 'WebSocket', { value: Socket })

/** A link that the broker has let in, and what its state was. */
function connected(): { link: Link; socket: Socket; states: LinkState[]; messageId: number; wanted: number } {
  const states: LinkState[] = []
  const wanted = subscriptions('tawny')
  const link = new Link({
    url: 'ws://x', clientId: 'c', cleanStart: true, sessionExpiryS: 0, subscriptions: wanted, onState: (state) => states.push(state), onMessage: () => {},
  })
  link.open()
  const socket = Socket.last
  socket.onopen?.()
  socket.answer({ cmd: 'connack', reasonCode: 0, sessionPresent: false })
  const subscribe = socket.sent.find(({ cmd }) => cmd === 'subscribe')
  return { link, socket, states, messageId: subscribe?.messageId ?? 0, wanted: wanted.length }
}

const names = (states: LinkState[]): string => states.map(({ is }) => is).join(' ')

test('a broker that grants what is asked for is live', () => {
  const { link, socket, states, messageId, wanted } = connected()
  socket.answer({ cmd: 'suback', messageId, granted: Array.from({ length: wanted }, (_, i) => i % 2) })
  assert.equal(names(states), 'connecting online')
  link.close()
})

test('a broker that grants less is refused, not quiet', () => {
  for (const reason of [0x80, 0x87, 0x9e]) {
    for (let at = 0; at < subscriptions('tawny').length; at++) {
      const { link, socket, states, messageId, wanted } = connected()
      socket.answer({ cmd: 'suback', messageId, granted: Array.from({ length: wanted }, (_, i) => (i === at ? reason : 1)) })
      assert.deepEqual(states.at(-1), { is: 'refused', why: 'rules' })
      assert.equal(socket.readyState, 3)
      assert.equal(socket.sent.at(-1)?.cmd, 'disconnect')
      // It is not tried again by itself.
      link.hurry()
      assert.equal(Socket.last, socket)
    }
  }
})

test('one topic more that is refused fails alone', async () => {
  const { link, socket, states, messageId, wanted } = connected()
  socket.answer({ cmd: 'suback', messageId, granted: Array.from({ length: wanted }, () => 1) })
  const asked = link.subscribe('tawny/u/part/x/+')
  socket.answer({ cmd: 'suback', messageId: socket.sent.at(-1)?.messageId, granted: [0x87] })
  await assert.rejects(asked, /0x87/)
  assert.equal(states.at(-1)?.is, 'online')
  link.close()
})
