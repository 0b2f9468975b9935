/** The reader's choices about the page itself, kept in this browser. */
import type { Zone } from './model/calendar.ts'

export interface Settings {
  zone: Zone
  theme: 'auto' | 'light' | 'dark'
}

const KEY = 'tawny.settings'

export function loadSettings(): Settings {
  const settings: Settings = { zone: 'local', theme: 'auto' }
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>
    if (stored.zone === 'utc') settings.zone = 'utc'
    if (stored.theme === 'light' || stored.theme === 'dark') settings.theme = stored.theme
  } catch {
    // Not ours, or not readable: the defaults serve.
  }
  return settings
}

export function saveSettings(settings: Settings): void {
  localStorage.setItem(KEY, JSON.stringify(settings))
}
