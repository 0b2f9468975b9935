/** The language of the page. */
import { en, type Strings } from './en.ts'

export const S: Strings = en
