/**
 * A file put together from its parts. Each part says where it belongs; parts
 * may repeat and come in any order. What is there stays: a part never changes
 * a byte that came before it, and whether the bytes are the right ones is for
 * the checksum of the whole to tell.
 *
 * Bounds: the file's size as announced (which `MAX_FILE_BYTES` limits), and
 * MOST_PIECES pieces with holes between them.
 */
import { Numbers } from '../model/numbers.ts'
import type { Announced } from '../wire/file.ts'

/** The wire's limit for one part. */
export const MAX_PART_BYTES = 4096
/** Parts come in order: more pieces than this are no accident. */
export const MOST_PIECES = 256

export class Assembly {
  /** How many bytes are there. */
  received = 0
  private readonly bytes: Uint8Array
  private readonly arrived = new Numbers()

  constructor(readonly file: Announced) {
    this.bytes = new Uint8Array(file.bytes)
  }

  /** Takes a part: `known` if there was nothing new in it, `bad` if it cannot be one of this file. */
  add(offset: number, part: Uint8Array): 'new' | 'known' | 'bad' {
    const end = offset + part.length
    if (!Number.isSafeInteger(offset) || offset < 0 || part.length === 0 || part.length > MAX_PART_BYTES || end > this.file.bytes) return 'bad'
    const missing = this.arrived.missing(offset, end - 1)
    if (missing.length === 0) return 'known'
    const touches = offset === 0 || this.arrived.has(offset - 1) || this.arrived.has(offset)
    if (this.arrived.pieces >= MOST_PIECES && !touches) return 'bad'
    for (const { from, to } of missing) {
      this.bytes.set(part.subarray(from - offset, to + 1 - offset), from)
      this.received += to - from + 1
    }
    this.arrived.addRange(offset, end - 1)
    return 'new'
  }

  get complete(): boolean {
    return this.received === this.file.bytes
  }

  /** How many bytes are there before the first hole: from here on the rest is asked for. */
  get prefix(): number {
    return this.arrived.missing(0, this.file.bytes - 1)[0]?.from ?? this.file.bytes
  }

  /** Whether what is sent now goes on with what is here. */
  isOf({ type, bytes, sha256 }: Announced): boolean {
    const { file } = this
    return file.type === type && file.bytes === bytes && file.sha256 === sha256
  }

  /** The whole file. */
  whole(): Uint8Array {
    if (!this.complete) throw new Error('parts are missing')
    return this.bytes
  }
}
