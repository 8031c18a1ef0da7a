/**
 * Whether a name matches a pattern: `*` and `?` within a component, `**` as a component of its own for any number of them.
 * Patterns come from other nodes and names from anybody, so it takes no more than the product of their lengths: a matcher
 * that goes back to every star, as regular expressions do, is kept busy for minutes by eight of them. Pure.
 */
export function matcherOf(pattern: string): (name: string) => boolean {
  const wanted = pattern.split('/')
  return (name) => matches(wanted, name.split('/'), (component) => component === '**', isComponent)
}

function isComponent(pattern: string, component: string): boolean {
  return matches([...pattern], [...component], (sign) => sign === '*', isSign)
}

function isSign(pattern: string, sign: string): boolean {
  return pattern === '?' || pattern === sign
}

/** What follows a star is looked for as far to the left as it is; only the last star can have to take more. */
function matches(
  pattern: readonly string[],
  items: readonly string[],
  isStar: (part: string) => boolean,
  same: (part: string, item: string) => boolean,
): boolean {
  let [at, item] = [0, 0]
  let star: { readonly at: number; readonly item: number } | undefined
  while (item < items.length) {
    const part = pattern[at]
    if (part !== undefined && isStar(part)) {
      star = { at, item }
      at++
    } else if (part !== undefined && same(part, items[item]!)) {
      at++
      item++
    } else if (star) {
      star = { at: star.at, item: star.item + 1 }
      at = star.at + 1
      item = star.item
    } else return false
  }
  return pattern.slice(at).every(isStar)
}
