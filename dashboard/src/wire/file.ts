/**
 * A file that a unit sends when it is asked for one: the key `file` of the
 * reply to `still` and `clip`. What it is of comes from outside, too: types and
 * sizes that this page does not want are refused before anything is kept.
 */
import type { Reply } from './decode.ts'
import { MAX_PIXELS, pixelsOf } from './jpeg.ts'

export const FILE_TYPES = ['image/jpeg', 'video/mp4'] as const
export type FileType = (typeof FILE_TYPES)[number]

export interface Announced {
  readonly type: FileType
  /** The whole file's size, also where only the rest of it is sent. */
  readonly bytes: number
  /** 64 hexadecimal digits. */
  readonly sha256: string
  /** The first byte that will be sent. */
  readonly from: number
}

/** The largest file that is taken, by its type: it is held in memory. */
export const MAX_FILE_BYTES: Readonly<Record<FileType, number>> = {
  'image/jpeg': 16 * 1024 * 1024,
  'video/mp4': 64 * 1024 * 1024,
}

/** The file that a reply announces, if it is one that makes sense. */
export function fileOf(reply: Reply): Announced | undefined {
  const file = reply.raw['file']
  if (typeof file !== 'object' || file === null) return undefined
  const { type, bytes, sha256, from } = file as Record<string, unknown>
  const known = FILE_TYPES.find((one) => one === type)
  if (known === undefined || typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return undefined
  if (!Number.isSafeInteger(bytes) || !Number.isSafeInteger(from)) return undefined
  const [size, first] = [bytes as number, from as number]
  return size >= 1 && first >= 0 && first <= size ? { type: known, bytes: size, sha256, from: first } : undefined
}

/** Whether bytes begin as a file of this type does, and unfold to no more than a picture. */
export function beginsLike(type: FileType, bytes: Uint8Array): boolean {
  if (type === 'image/jpeg') return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff && pixelsOf(bytes) <= MAX_PIXELS
  // ISO/IEC 14496-12: the first box is the file type's.
  return String.fromCharCode(...bytes.subarray(4, 8)) === 'ftyp'
}
