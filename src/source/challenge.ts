/**
 * WWW-Authenticate, RFC 9110 section 11.6.1: several challenges may share one header, so a comma separates both
 * parameters and challenges. Registries that offer `Basic` and `Bearer` together are why this is parsed in full.
 */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string
  /** Names in lower case; the first of a repeated one counts. */
  readonly params: ReadonlyMap<string, string>
}

const maxLength = 8192
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
/** Either `name=value` or the scheme that begins a challenge. */
const element = new RegExp(
  `[\\s,]*(?:(?<name>${token})\\s*=\\s*(?:"(?<quoted>(?:[^"\\\\]|\\\\.)*)"|(?<bare>[^\\s,"]+))|(?<scheme>${token})(?=[\\s,]|$))`,
  'y',
)

/** What is malformed ends the list; what stands before it counts. Never throws. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, maxLength)
  const pattern = new RegExp(element)
  const challenges: { scheme: string; params: Map<string, string> }[] = []
  for (let match = pattern.exec(text); match?.groups; match = pattern.exec(text)) {
    const { scheme, name, quoted, bare } = match.groups
    if (scheme !== undefined) {
      challenges.push({ scheme: scheme.toLowerCase(), params: new Map() })
      continue
    }
    const params = challenges.at(-1)?.params
    const key = name!.toLowerCase()
    if (params && !params.has(key)) params.set(key, quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '')
  }
  return challenges
}
