/**
 * An MQTT 5 client for a browser: subscribes, receives, publishes with QoS 1.
 *
 * The packets are read and written by mqtt-packet, the codec of MQTT.js. The
 * client around it is our own for two reasons. A message is acknowledged when
 * its receiver has stored it, not before, and many may be on their way to the
 * store at once: an event is never acknowledged and then lost by a closed tab.
 * And MQTT.js weighs more than all else on this page together.
 */
import { generate, parser as newParser, type IPublishPacket, type Packet, type Parser } from 'mqtt-packet'
import { Buffer } from 'buffer'
import { backoffMs } from './backoff.ts'

export type LinkState =
  | { is: 'off' }
  | { is: 'connecting' }
  | { is: 'online'; since: number; resumed: boolean }
  /** It will be tried again at `until`. */
  | { is: 'waiting'; since: number; until: number; why: string }
  /** The broker said no: trying again would not help. */
  | { is: 'refused'; why: string }

export interface Incoming {
  topic: string
  payload: Uint8Array
  /** The broker had kept it: it was sent because of the subscription, not now. */
  retained: boolean
  /** To be called once, when the message is safe. */
  done: () => void
}

export interface LinkOptions {
  url: string
  clientId: string
  username?: string
  password?: string
  /** Begin without what the broker may have kept for this client. */
  cleanStart: boolean
  /** How long the broker shall keep messages for this client while it is away, s. */
  sessionExpiryS: number
  subscriptions: { topic: string; qos: 0 | 1 }[]
  onState: (state: LinkState) => void
  onMessage: (message: Incoming) => void
}

const KEEPALIVE_S = 30
const CONNECT_MS = 15_000
/** Larger messages are not for us: the broker leaves them out. */
const MAX_PACKET = 4 * 1024 * 1024
/** How many messages may be on their way to the store. */
const RECEIVE_MAXIMUM = 256
/** The packet that subscribes to what the page is about; others count up to the one before. */
const MAIN_SUBSCRIPTION = 65_535
/** From here on a reason is a failure. */
const FAILURE = 0x80

export class Link {
  private socket?: WebSocket
  private timer?: ReturnType<typeof setTimeout>
  private ping?: ReturnType<typeof setInterval>
  private heard = 0
  private failures = 0
  private lostSince = 0
  private state: LinkState = { is: 'off' }
  private cleanStart: boolean
  private nextId = 1
  private readonly waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()

  constructor(private readonly options: LinkOptions) {
    this.cleanStart = options.cleanStart
  }

  open(): void {
    if (this.socket || this.state.is === 'refused') return
    clearTimeout(this.timer)
    this.enter({ is: 'connecting' })
    let socket: WebSocket
    try {
      socket = new WebSocket(this.options.url, 'mqtt')
    } catch (error) {
      // Not an address, or one that a page served over TLS may not use.
      this.enter({ is: 'refused', why: error instanceof Error ? error.message : String(error) })
      return
    }
    socket.binaryType = 'arraybuffer'
    this.socket = socket
    const parser = newParser({ protocolVersion: 5 })
    parser.on('packet', (packet: Packet) => this.receive(socket, packet))
    parser.on('error', () => this.lose(socket, 'unreadable'))
    socket.onopen = () => this.connect()
    socket.onmessage = ({ data }) => this.read(socket, parser, data)
    socket.onclose = () => this.lose(socket, 'closed')
    this.timer = setTimeout(() => this.lose(socket, 'timeout'), CONNECT_MS)
  }

  /** Tries at once where it would have waited: the network came back, the page is looked at again. */
  hurry(): void {
    if (this.state.is === 'waiting') this.open()
  }

  /** Ends the connection; `forget`: and what the broker keeps for this client. */
  close(forget = false): void {
    const socket = this.socket
    if (socket && this.state.is === 'online') {
      const properties = forget ? { sessionExpiryInterval: 0 } : {}
      this.send({ cmd: 'disconnect', reasonCode: 0, properties } as Packet)
    }
    this.drop()
    socket?.close()
    this.enter({ is: 'off' })
  }

  /** Publishes with QoS 1; fulfilled when the broker has it. Fails at once without a connection. */
  publish(topic: string, payload: string, expiryS?: number): Promise<void> {
    if (this.state.is !== 'online') return Promise.reject(new Error('not connected'))
    const packet = { cmd: 'publish', qos: 1, dup: false, retain: false, topic, payload } as IPublishPacket
    if (expiryS !== undefined) packet.properties = { messageExpiryInterval: expiryS }
    return this.answered(packet)
  }

  /**
   * Subscribes to one topic more; fulfilled when the broker has it. To be asked
   * for again after each connection. With QoS 0: what comes while nobody is here
   * is not kept.
   */
  subscribe(topic: string): Promise<void> {
    if (this.state.is !== 'online') return Promise.reject(new Error('not connected'))
    return this.answered({ cmd: 'subscribe', subscriptions: [{ topic, qos: 0, nl: false, rap: false, rh: 2 }] } as unknown as Packet)
  }

  unsubscribe(topic: string): void {
    if (this.state.is === 'online') this.answered({ cmd: 'unsubscribe', unsubscriptions: [topic] } as unknown as Packet).catch(() => {})
  }

  /** Sends a packet that the broker answers; fulfilled when it has. */
  private answered(packet: Packet): Promise<void> {
    const messageId = this.nextId
    this.nextId = (this.nextId % (MAIN_SUBSCRIPTION - 1)) + 1
    return new Promise((resolve, reject) => {
      this.waiting.set(messageId, { resolve, reject })
      this.send({ ...packet, messageId } as Packet)
    })
  }

  private connect(): void {
    const { clientId, username, password, sessionExpiryS } = this.options
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clean: this.cleanStart,
      clientId,
      keepalive: KEEPALIVE_S,
      ...(username ? { username } : {}),
      ...(password ? { password: Buffer.from(password) } : {}),
      properties: {
        sessionExpiryInterval: sessionExpiryS,
        receiveMaximum: RECEIVE_MAXIMUM,
        maximumPacketSize: MAX_PACKET,
      },
    } as Packet)
  }

  private read(socket: WebSocket, parser: Parser, data: unknown): void {
    if (socket !== this.socket || !(data instanceof ArrayBuffer)) return
    this.heard = Date.now()
    try {
      parser.parse(Buffer.from(data))
    } catch {
      this.lose(socket, 'unreadable')
    }
  }

  private receive(socket: WebSocket, packet: Packet): void {
    if (socket !== this.socket) return
    switch (packet.cmd) {
      case 'connack':
        this.accept(packet.reasonCode ?? packet.returnCode ?? 0, packet.sessionPresent, packet.properties?.serverKeepAlive)
        break
      case 'publish':
        this.deliver(socket, packet)
        break
      case 'puback':
        this.settle(packet.messageId, packet.reasonCode)
        break
      case 'suback':
        if (packet.messageId === MAIN_SUBSCRIPTION) this.subscribed(packet.granted.map(Number))
        else this.settle(packet.messageId, Number(packet.granted[0] ?? 0))
        break
      case 'unsuback':
        this.settle(packet.messageId, Number(packet.granted?.[0] ?? 0))
        break
      case 'disconnect':
        // 0x8e: another client took this one's name (a copy of this tab).
        this.lose(socket, packet.reasonCode === 0x8e ? 'taken over' : 'closed')
        break
    }
  }

  /** A broker that lets in but tells nothing, or not all, would make a fleet look quiet. */
  private subscribed(granted: readonly number[]): void {
    if (!granted.some((reason) => reason >= FAILURE)) return
    const socket = this.socket
    this.send({ cmd: 'disconnect', reasonCode: 0, properties: {} } as Packet)
    this.drop()
    socket?.close()
    this.enter({ is: 'refused', why: 'rules' })
  }

  /** The broker has answered. */
  private settle(messageId = 0, reason = 0): void {
    const waiting = this.waiting.get(messageId)
    this.waiting.delete(messageId)
    if (reason < FAILURE) waiting?.resolve()
    else waiting?.reject(new Error(`refused by the broker (0x${reason.toString(16)})`))
  }

  private accept(reason: number, resumed: boolean, serverKeepAlive?: number): void {
    clearTimeout(this.timer)
    if (reason !== 0) {
      const socket = this.socket
      this.drop()
      socket?.close()
      const lasting = new Set([0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c])
      if (lasting.has(reason)) this.enter({ is: 'refused', why: reason === 0x86 || reason === 0x87 ? 'login' : `0x${reason.toString(16)}` })
      else this.wait(`0x${reason.toString(16)}`)
      return
    }
    this.failures = 0
    // From now on the broker's memory of this client is wanted.
    this.cleanStart = false
    const every = (serverKeepAlive ?? KEEPALIVE_S) * 1000
    this.heard = Date.now()
    this.ping = setInterval(() => this.beat(every), every / 2)
    this.send({
      cmd: 'subscribe',
      messageId: MAIN_SUBSCRIPTION,
      subscriptions: this.options.subscriptions.map(({ topic, qos }) => ({ topic, qos, nl: false, rap: false, rh: 0 })),
    } as Packet)
    this.enter({ is: 'online', since: Date.now(), resumed })
  }

  private beat(every: number): void {
    if (Date.now() - this.heard > every * 1.5) this.lose(this.socket, 'timeout')
    else this.send({ cmd: 'pingreq' } as Packet)
  }

  private deliver(socket: WebSocket, packet: IPublishPacket): void {
    const { topic, payload, retain, qos, messageId } = packet
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
    let open = qos > 0
    this.options.onMessage({
      topic,
      payload: bytes,
      retained: retain,
      done: () => {
        // An acknowledgement belongs to the connection that the message came on.
        if (open && socket === this.socket) this.send({ cmd: 'puback', messageId, reasonCode: 0 } as Packet)
        open = false
      },
    })
  }

  private send(packet: Packet): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return
    this.socket.send(generate(packet, { protocolVersion: 5 }) as Uint8Array<ArrayBuffer>)
  }

  private lose(socket: WebSocket | undefined, why: string): void {
    if (!socket || socket !== this.socket) return
    this.drop()
    socket.close()
    if (why === 'taken over') this.enter({ is: 'refused', why })
    else this.wait(why)
  }

  private wait(why: string): void {
    if (this.state.is !== 'waiting' && this.failures === 0) this.lostSince = Date.now()
    const ms = backoffMs(this.failures++, Math.random())
    this.enter({ is: 'waiting', since: this.lostSince, until: Date.now() + ms, why })
    this.timer = setTimeout(() => this.open(), ms)
  }

  /** Lets go of the socket and of all that waited for it. */
  private drop(): void {
    clearTimeout(this.timer)
    clearInterval(this.ping)
    this.socket = undefined
    for (const { reject } of this.waiting.values()) reject(new Error('the connection was lost'))
    this.waiting.clear()
  }

  private enter(state: LinkState): void {
    this.state = state
    this.options.onState(state)
  }
}
