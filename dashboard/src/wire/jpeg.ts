/**
 * How large a JPEG says it is: a file of a few kilobytes may unfold to gigabytes in
 * the browser. ITU-T T.81, annex B.
 */

/** Four times what the largest of usual cameras gives. */
export const MAX_PIXELS = 50_000_000

/** Markers that stand alone: they have no length. */
const LONELY = new Set([0x01, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8])
/** Among the frame headers' markers (c0 to cf) these are none. */
const NO_FRAMES = new Set([0xc4, 0xc8, 0xcc])

/** The most pixels of any frame header before the picture's data; 0 if there is none. */
export function pixelsOf(bytes: Uint8Array): number {
  const at = (i: number): number => bytes[i] ?? 0
  let most = 0
  for (let i = 2; i < bytes.length; ) {
    // What stands between two segments is skipped, as decoders do.
    if (at(i) !== 0xff || at(i + 1) === 0xff || at(i + 1) === 0) { i += 1; continue }
    const marker = at(i + 1)
    if (marker === 0xd9 || marker === 0xda) break
    if (LONELY.has(marker)) { i += 2; continue }
    if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.has(marker)) {
      most = Math.max(most, (at(i + 5) * 256 + at(i + 6)) * (at(i + 7) * 256 + at(i + 8)))
    }
    i += 2 + Math.max(2, at(i + 2) * 256 + at(i + 3))
  }
  return most
}
