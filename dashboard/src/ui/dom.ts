/**
 * Elements from code. Text is always a text node: nothing here, nor anywhere
 * else on this page, makes HTML out of a string.
 */

type Child = Node | string | number | null | undefined | false
type Value = string | number | boolean | null | undefined | ((event: never) => void)

const SVG = 'http://www.w3.org/2000/svg'

/** `h('button', { class: 'quiet', onclick: … }, 'Text')`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K, attributes?: Record<string, Value> | null, ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name)
  apply(element, attributes)
  append(element, children)
  return element
}

/** The same for SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K, attributes?: Record<string, Value> | null, ...children: (Child | Child[])[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, name)
  apply(element, attributes)
  append(element, children)
  return element
}

function apply(element: Element, attributes?: Record<string, Value> | null): void {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as (event: Event) => void)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
}

function append(element: Element, children: (Child | Child[])[]): void {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue
    element.append(typeof child === 'number' ? String(child) : child)
  }
}

/** Sets a text only where it changed: screen readers and layout thank for it. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text
}

/** A custom property, which the content security policy allows where a style attribute is not. */
export function setStyle(element: HTMLElement | SVGElement, values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value)
}

export function card(title: string, hint: string | undefined, ...content: (Node | null)[]): HTMLElement {
  return h('section', { class: 'card' }, h('h2', null, title), hint ? h('p', { class: 'hint' }, hint) : null, content)
}

/** A select with its label. */
export function choice(
  label: string, options: readonly (readonly [value: string, text: string])[], value: string, onChange: (value: string) => void,
): HTMLLabelElement {
  const select = h('select', { onchange: () => onChange(select.value) })
  for (const [key, text] of options) select.append(h('option', { value: key }, text))
  select.value = value
  return h('label', { class: 'choice' }, h('span', null, label), select)
}
