/**
 * Who has to let go when there is too much: whoever has most. What one unit sends
 * never takes another's room.
 */

/** How many things of each unit have to go so that `most` are left of all. */
export function surplus(counts: ReadonlyMap<string, number>, most: number): Map<string, number> {
  const rising = [...counts].sort(([, a], [, b]) => a - b)
  let room = most
  let level = Infinity
  for (let i = 0; i < rising.length; i++) {
    const [, n] = rising[i] as [string, number]
    const share = Math.floor(room / (rising.length - i))
    if (n > share) { level = share; break }
    room -= n
  }
  return new Map(rising.filter(([, n]) => n > level).map(([unit, n]) => [unit, n - level]))
}
