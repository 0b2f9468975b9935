/** Which page, with which choices: `#/timeline?unit=north`. Every view has an address of its own. */
export const PAGES = ['now', 'timeline', 'pattern', 'unit'] as const
export type PageName = (typeof PAGES)[number]

export interface Route {
  page: PageName
  /** What follows the page's name: the unit's id. */
  what: string
  query: URLSearchParams
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const [name = '', what = ''] = path.split('/')
  const page = PAGES.find((known) => known === name) ?? 'now'
  let id = ''
  try {
    id = decodeURIComponent(what)
  } catch {
    // Not ours: as if it were not there.
  }
  return { page, what: id, query: new URLSearchParams(query) }
}

export function hashOf(page: PageName, what = '', query: Record<string, string | undefined> = {}): string {
  const chosen = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
  const path = what ? `${page}/${encodeURIComponent(what)}` : page
  return `#/${path}${chosen.length > 0 ? `?${new URLSearchParams(chosen).toString()}` : ''}`
}
