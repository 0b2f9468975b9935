/**
 * An operator's key, held for this session. The secret half goes into the
 * browser's own cryptography and cannot be read out again, not by this page
 * either; it is gone when the page is closed or reloaded. The signed text is
 * that of docs/reference/commands.md, section "Signatures".
 */

export interface OperatorKey {
  /** The public half, 64 hex digits. */
  readonly publicHex: string
  /** The name in the key's file, if there was one. */
  readonly name?: string
  sign(text: string): Promise<string>
}

export class BadKey extends Error {}
/** The browser has no Ed25519, or gives it only to pages served over TLS. */
export class CannotSign extends Error {}

/** What stands before the 32 bytes of a secret key in PKCS #8 (RFC 8410). */
const PKCS8 = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20]

/** The secret in a key's file made by `tawny key new`, or 64 hex digits alone. */
export function secretIn(text: string): { secret: string; name?: string } {
  const alone = /^\s*([0-9a-f]{64})\s*$/i.exec(text)?.[1]
  const secret = alone ?? /^\s*secret\s*=\s*"([0-9a-f]{64})"\s*$/im.exec(text)?.[1]
  if (secret === undefined) throw new BadKey()
  return { secret: secret.toLowerCase(), name: /^\s*name\s*=\s*"([A-Za-z0-9._-]{1,32})"\s*$/m.exec(text)?.[1] }
}

export async function holdKey(text: string): Promise<OperatorKey> {
  const { secret, name } = secretIn(text)
  const subtle: SubtleCrypto | undefined = globalThis.crypto?.subtle
  if (!subtle) throw new CannotSign()
  const bytes = Uint8Array.from([...PKCS8, ...fromHex(secret)])
  try {
    // Read once, for the public half; the key that is held cannot be.
    const readable = await subtle.importKey('pkcs8', bytes, { name: 'Ed25519' }, true, ['sign'])
    const { x = '' } = await subtle.exportKey('jwk', readable)
    const held = await subtle.importKey('pkcs8', bytes, { name: 'Ed25519' }, false, ['sign'])
    const publicHex = toHex(Uint8Array.from(atob(x.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0)))
    return {
      publicHex,
      name,
      sign: async (message) => toHex(new Uint8Array(await subtle.sign('Ed25519', held, new TextEncoder().encode(message)))),
    }
  } catch {
    throw new CannotSign()
  } finally {
    bytes.fill(0)
  }
}

/** What is signed of a command, apart from the unit's topic. */
export interface Wording {
  /** The unit's present journal, and the boot that it is in: both as the broker tells them. */
  readonly log: string
  readonly boot?: string
  readonly id: string
  readonly n: number
  /** Until when it holds, ms since 1970. */
  readonly until: number
  readonly cmd: string
}

/** A part of a command that has not the form that it must have: nothing is signed. */
export class Unsignable extends Error {}

const NAME = /^[A-Za-z0-9_.-]{1,64}$/
const TOPIC = /^[A-Za-z0-9_.-]{1,64}(\/[A-Za-z0-9_.-]{1,64})*$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
/** A counter may be so far ahead of `until`: a clock that was once wrong must not use up a key. */
const COUNTER_AHEAD_MS = 366 * 86_400_000

/**
 * What is signed: seven lines, whatever the parts are. One with a line feed in it
 * could make them the lines of another command.
 */
export function signedText(unitTopic: string, { log, boot, id, n, until, cmd }: Wording): string {
  const time = timeOf(until)
  const right: [boolean, string][] = [
    [TOPIC.test(unitTopic), 'topic'], [NAME.test(log), 'log'], [NAME.test(id), 'id'],
    [boot === undefined || /^[0-9a-f]{8}$/.test(boot), 'boot'], [TIME.test(time), 'until'],
    [Number.isSafeInteger(n) && n >= 1 && n <= until + COUNTER_AHEAD_MS, 'n'],
    [!/[\u0000-\u001f\u007f-\u009f]/.test(cmd), 'cmd'],
  ]
  const wrong = right.find(([is]) => !is)
  if (wrong) throw new Unsignable(wrong[1])
  return ['tawny command v2', unitTopic, log, id, n, cmd, boot === undefined ? time : `${time} ${boot}`].join('\n')
}

function timeOf(ms: number): string {
  // No calendar reaches all numbers.
  return Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : ''
}

/** The payload of a signed command. */
export async function signedPayload(key: OperatorKey, unitTopic: string, wording: Wording): Promise<string> {
  const sig = await key.sign(signedText(unitTopic, wording))
  const { log, boot, id, n, until, cmd } = wording
  return JSON.stringify({ id, log, n, until: timeOf(until), boot, key: key.publicHex, sig, cmd })
}

/** The counter of a key's next command: milliseconds since 1970, and above the last. */
export function nextCounter(last: number, now: number): number {
  return Math.max(last + 1, Math.floor(now))
}

function fromHex(hex: string): number[] {
  return Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
