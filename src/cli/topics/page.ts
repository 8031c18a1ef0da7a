/** A help topic as a terminal shows it: Markdown as the files have it, of which only what they use. Pure. */

export interface Topic {
  readonly name: string
  readonly title: string
  /** Below the title. */
  readonly body: string
}

/** @throws {Error} for a text without a title */
export function topicOf(name: string, markdown: string): Topic {
  const [, title, body] = /^# (.+)\n+([\s\S]*)$/.exec(markdown) ?? []
  if (title === undefined || body === undefined) throw new Error(`the topic ${name} has no title`)
  return { name, title, body }
}

/** Headings in capitals, code further in and without its fences. */
export function pageOf({ title, body }: Topic): string {
  let code = false
  const lines = body.split('\n').flatMap((line) => {
    if (line.startsWith('```')) {
      code = !code
      return []
    }
    if (code) return [`    ${line}`.trimEnd()]
    return [line.startsWith('## ') ? line.slice(3).toUpperCase() : line.replaceAll('**', '')]
  })
  return [title.toUpperCase(), '', ...lines].join('\n').trimEnd()
}
