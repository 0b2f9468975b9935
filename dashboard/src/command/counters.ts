/** The last counter of each key, kept in this browser. If it is lost, the clock takes its place. */
const KEY = 'tawny.counter.'

export function lastCounter(key: string): number {
  const n = Number(localStorage.getItem(KEY + key))
  return Number.isSafeInteger(n) ? n : 0
}

export function counterUsed(key: string, n: number): void {
  localStorage.setItem(KEY + key, String(n))
}
