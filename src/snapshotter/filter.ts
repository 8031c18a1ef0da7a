/**
 * containerd's filters, as `ctr snapshots ls` and containerd itself send them: `kind==active,labels."a.b"~=/x|y/`.
 * Selectors with a comma between them all have to hold; of several filters any one.
 *
 *     selector  := field ("." field)* (operator value)?
 *     field     := quoted | [A-Za-z0-9_]+
 *     operator  := "==" | "!=" | "~="
 *     value     := quoted | [^\s,]+
 *     quoted    := Go's string syntax; after "~=" also between slashes or bars
 */
import { type Info, Refusal } from './snapshot.ts'

export type Filter = (info: Info) => boolean
type Field = (info: Info) => string | undefined

/** Longer ones are nobody's. */
const longest = 16_384

/** @throws {Refusal} `invalid` */
export function filterOf(texts: readonly string[]): Filter {
  if (texts.length === 0) return () => true
  const filters = texts.map((text) => new Parser(text).filter())
  return (info) => filters.some((filter) => filter(info))
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    if (text.length > longest) throw new Refusal('invalid', `a filter has ${longest} characters at most`)
    this.#text = text
  }

  filter(): Filter {
    if (this.#text === '') return () => true
    const selectors = [this.#selector()]
    while (this.#blank() && this.#at < this.#text.length) {
      if (!this.#take(',')) throw this.#wrong('a comma')
      selectors.push(this.#selector())
    }
    return (info) => selectors.every((selector) => selector(info))
  }

  #selector(): Filter {
    const path = [this.#field()]
    while (this.#take('.')) path.push(this.#field())
    const field = fieldAt(path)
    this.#blank()
    const operator = this.#match(/[=!~]+/y)
    if (operator === undefined) return (info) => field(info) !== undefined
    this.#blank()
    if (operator === '==') {
      const value = this.#value(false)
      return (info) => field(info) === value
    }
    if (operator === '!=') {
      const value = this.#value(false)
      return (info) => (field(info) ?? '') !== value
    }
    if (operator !== '~=') throw this.#wrong('==, != or ~=')
    const pattern = this.#pattern(this.#value(true))
    return (info) => pattern.test(field(info) ?? '')
  }

  #field(): string {
    this.#blank()
    const field = this.#quoted('"') ?? this.#match(/\w+/y)
    if (field === undefined) throw this.#wrong('the name of a field')
    return field
  }

  #value(alsoBars: boolean): string {
    const value = this.#quoted(alsoBars ? '"/|' : '"') ?? this.#match(/[^\s,"/|][^\s,]*/y)
    if (value === undefined) throw this.#wrong('a value')
    return value
  }

  #pattern(text: string): RegExp {
    try {
      return new RegExp(text, 'u')
    } catch {
      throw new Refusal('invalid', `the filter ${this.#text} has a regular expression that is none: ${text}`)
    }
  }

  #quoted(quotes: string): string | undefined {
    const quote = this.#text[this.#at]
    if (quote === undefined || !quotes.includes(quote)) return undefined
    let value = ''
    for (this.#at++; ; ) {
      const plain = this.#match(quote === '"' ? /[^"\\\n]+/y : quote === '/' ? /[^/\\\n]+/y : /[^|\\\n]+/y)
      value += plain ?? ''
      if (this.#take(quote)) return value
      const found = this.#match(/\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/y)
      if (found === undefined) throw this.#wrong(`the closing ${quote}`)
      value += this.#unescaped(found.slice(1), quote)
    }
  }

  #unescaped(word: string, quote: string): string {
    const code = /^[xuU]/.test(word)
      ? Number.parseInt(word.slice(1), 16)
      : /^\d{3}$/.test(word)
        ? Number.parseInt(word, 8)
        : undefined
    if (code !== undefined && code <= 0x10ffff) return String.fromCodePoint(code)
    const known = word === quote || word === '\\' ? word : escapes[word]
    if (known === undefined) throw this.#wrong('an escape that Go has')
    return known
  }

  /** Always true. */
  #blank(): true {
    this.#match(/\s+/y)
    return true
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #wrong(expected: string): Refusal {
    return new Refusal('invalid', `the filter ${this.#text} has at character ${this.#at + 1} not ${expected}`)
  }
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** A field that there is not has no value, which `!=` takes for an empty one. */
function fieldAt([first, ...rest]: readonly string[]): Field {
  switch (first) {
    case 'kind':
      return ({ kind }) => kind
    case 'name':
      return ({ name }) => name
    case 'parent':
      return ({ parent }) => parent
    case 'labels': {
      const key = rest.join('.')
      return ({ labels }) => (Object.hasOwn(labels, key) ? labels[key] : undefined)
    }
    default:
      return () => undefined
  }
}
