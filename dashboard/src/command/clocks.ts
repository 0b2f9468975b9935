/**
 * Whether the clocks of this device and of a unit agree. A signed command holds
 * until a time that this device's clock gives it, and the unit holds that against its
 * own: where the two differ by much, it is refused.
 */
import type { Condition } from '../model/health.ts'
import type { Heard } from '../model/presence.ts'
import { HOLD_MS } from './command.ts'

/** What vouches for a unit's time; without it the unit does not hold commands against its clock. */
const VOUCHED = new Set(['ntp', 'gps', 'rtc'])

/** By how much this device's clock is ahead of the unit's (behind: negative), if that may matter. */
export function clockGap({ aheadMs }: Heard, condition: Condition | undefined): number | undefined {
  if (aheadMs === undefined || !VOUCHED.has(condition?.clockTs ?? '')) return undefined
  return Math.abs(aheadMs) > HOLD_MS / 2 ? aheadMs : undefined
}
