/** A unit's figures over time. */
import type { Figure } from '../../model/health.ts'
import type { Unit } from '../../model/fleet.ts'
import { S } from '../../strings/index.ts'
import { lineChart } from '../chart/line.ts'
import { card, h } from '../dom.ts'
import * as format from '../format.ts'

export function healthPanel({ history }: Unit): HTMLElement {
  const figures: [Figure, string, (value: number) => string, boolean][] = [
    ['tempC', S.unit.temperature, format.celsius, false],
    ['supplyV', S.unit.supply, (v) => `${v.toFixed(1)} V`, false],
    ['queued', S.unit.queue, (n) => n.toLocaleString(S.language), true],
    ['diskFreeMb', S.unit.disk, (mb) => format.bytes(mb * 1e6), true],
    ['cpuPct', S.unit.cpu, (pct) => `${Math.round(pct)} %`, true],
    ['rssKb', S.unit.memory, (kb) => format.bytes(kb * 1000), true],
  ]
  const charts = figures.flatMap(([key, title, show, fromZero]) => {
    const points = history.flatMap((condition) => {
      const value = condition[key]
      return value === undefined ? [] : [{ at: condition.t, value }]
    })
    return points.length < 2 ? [] : [lineChart(title, points, show, fromZero)]
  })
  return card(S.unit.health, undefined, charts.length > 0 ? h('div', { class: 'charts' }, charts) : h('p', { class: 'none' }, S.unit.healthNone))
}
