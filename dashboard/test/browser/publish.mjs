// Publishes messages with mosquitto_pub, an independent client.
import { spawn } from 'node:child_process'

/** One message. */
export function publish(port, topic, payload, { retain = false, qos = 1 } = {}) {
  return feed(['-h', '127.0.0.1', '-p', String(port), '-q', String(qos), ...(retain ? ['-r'] : []), '-t', topic, '-s'], payload)
}

/** Many messages of one topic, in order. */
export function publishLines(port, topic, payloads, qos = 1) {
  return feed(['-h', '127.0.0.1', '-p', String(port), '-q', String(qos), '-t', topic, '-l'], payloads.join('\n') + '\n')
}

/** Events, each on its own topic. */
export async function publishEvents(port, events) {
  const topics = Map.groupBy ? Map.groupBy(events, topicOf) : groupBy(events, topicOf)
  for (const [topic, list] of topics) await publishLines(port, topic, list.map((e) => JSON.stringify(e)))
}

const topicOf = (e) => `tawny/${e.unit}/event/${e.kind}`

function groupBy(list, key) {
  const map = new Map()
  for (const item of list) map.set(key(item), [...(map.get(key(item)) ?? []), item])
  return map
}

function feed(args, input) {
  return new Promise((resolve, reject) => {
    const child = spawn('mosquitto_pub', ['-V', 'mqttv5', ...args], { stdio: ['pipe', 'inherit', 'inherit'] })
    child.on('error', reject)
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`mosquitto_pub ended with ${code}`))))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}
