/** The topics below `<prefix>/<unit>`: what a message is by its topic. */

export type Topic =
  | { is: 'status' | 'health'; unit: string }
  | { is: 'event'; unit: string; kind: string }
  | { is: 'still' | 'reply'; unit: string; id: string }
  | { is: 'part'; unit: string; id: string; offset: number }

/** A unit's id, as the configuration allows it. */
const UNIT = /^[A-Za-z0-9._-]{1,32}$/
const ID = /^[A-Za-z0-9._-]{1,64}$/

export function parseTopic(prefix: string, topic: string): Topic | undefined {
  if (!topic.startsWith(`${prefix}/`)) return undefined
  const [unit, is, what, ...more] = topic.slice(prefix.length + 1).split('/')
  if (unit === undefined || !UNIT.test(unit)) return undefined
  if (is === 'part') return partOf(unit, what, more)
  if (more.length > 0) return undefined
  if ((is === 'status' || is === 'health') && what === undefined) return { is, unit }
  if (what === undefined || !ID.test(what)) return undefined
  if (is === 'event') return { is, unit, kind: what }
  if (is === 'still' || is === 'reply') return { is, unit, id: what }
  return undefined
}

function partOf(unit: string, id: string | undefined, more: string[]): Topic | undefined {
  const [offset = ''] = more
  if (id === undefined || !ID.test(id) || more.length !== 1 || !/^(0|[1-9][0-9]{0,9})$/.test(offset)) return undefined
  return { is: 'part', unit, id, offset: Number(offset) }
}

/** What the page subscribes to. */
export function subscriptions(prefix: string): { topic: string; qos: 0 | 1 }[] {
  return [
    { topic: `${prefix}/+/status`, qos: 1 },
    { topic: `${prefix}/+/health`, qos: 0 },
    { topic: `${prefix}/+/event/+`, qos: 1 },
    { topic: `${prefix}/+/still/+`, qos: 1 },
    { topic: `${prefix}/+/reply/+`, qos: 1 },
  ]
}

/** Where the parts of a file come that a command asks for: nobody else's files are of interest. */
export function partsTopic(prefix: string, unit: string, id: string): string {
  return `${prefix}/${unit}/part/${id}/+`
}

/** What all topics of a unit begin with. */
export function unitTopic(prefix: string, unit: string): string {
  return `${prefix}/${unit}`
}

/** A prefix as the unit's configuration allows it: names joined by '/'. */
export function isPrefix(prefix: string): boolean {
  return prefix.length <= 64 && /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(prefix)
}
