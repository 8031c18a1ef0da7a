/**
 * JSON of strangers. A parser makes an object for every bracket: four megabytes of brackets are gigabytes of objects, and
 * seconds in which nobody else is served. So the text is looked at before, which costs next to nothing.
 */

/** What short texts can do does not matter. */
const shortLength = 16 * 1024
/** Objects and lists in each other: manifests have five. */
export const mostDepth = 64
/** Values in all: an index of twenty thousand images has a hundred thousand. */
export const mostValues = 200_000

/** @throws {SyntaxError} for what is not JSON, or of more parts than any message or manifest has */
export function parseJson(text: string): unknown {
  if (text.length > shortLength && !isModest(text)) {
    throw new SyntaxError(`JSON of more than ${mostValues} values, or deeper than ${mostDepth}`)
  }
  return JSON.parse(text)
}

/** Counts brackets and commas outside of strings. */
function isModest(text: string): boolean {
  let depth = 0
  let values = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at)
        break
      case openList:
      case openObject:
        if (++depth > mostDepth || ++values > mostValues) return false
        break
      case closeList:
      case closeObject:
        depth--
        break
      case comma:
        if (++values > mostValues) return false
    }
  }
  return true
}

const [quote, backslash, comma, openList, closeList, openObject, closeObject] = Array.from('"\\,[]{}', (character) =>
  character.charCodeAt(0),
)

/** Where the quote is that ends the string which begins at `start`; the end of the text when there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === backslash) escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}
