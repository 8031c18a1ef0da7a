/**
 * Reads the two messages that a scheduler hears by the thousand a second: announces and questions for parents. Their
 * schemas say what is right; checking it by hand costs a tenth of that. And a node describes itself in every message
 * with the same words: it is compared with what it said before, and the description that is known already is passed on,
 * so that there is one of each node, however often it speaks. Only what is known to be the node's own is remembered of it:
 * what another said in its name would be taken for its word from then on.
 */

import { isMode, isNodeId, type NodeId, type NodeInfo, type Protocols } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { lru } from '../lru.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { type Repository, repositoryOf } from '../oci/reference.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import { type Announce, announceSchema, type Holding, parse, type Schedule, scheduleSchema } from './messages.ts'

/** Nodes whose descriptions are remembered: more than one scheduler serves. */
const mostNodes = 65_536
/** Zones, which many nodes share. */
const mostZones = 8192
const mostHoldings = 4096
const mostNamed = 256

type Json = Readonly<Record<string, unknown>>

export class Hearing {
  readonly #nodes = lru<NodeId, NodeInfo>(mostNodes)
  readonly #zones = lru<string, string>(mostZones)

  /** @throws {Failure} `bad-request` that names the field */
  announce(text: string): Announce {
    const value = json(text)
    return this.#announce(value) ?? parse(announceSchema, value)
  }

  /** @throws {Failure} `bad-request` that names the field */
  schedule(text: string): Schedule {
    const value = json(text)
    return this.#schedule(value) ?? parse(scheduleSchema, value)
  }

  /** A message was the node's own: what it says of itself is known from now on. */
  remember(node: NodeInfo): void {
    if (this.#nodes.peek(node.id) === node) return
    if (node.zone !== undefined) {
      const zone = this.#zones.get(node.zone)
      if (zone === undefined) this.#zones.set(node.zone, node.zone)
      else node.zone = zone
    }
    this.#nodes.set(node.id, node)
  }

  /** Undefined for what is wrong, and for a node that was not heard before: those are the schema's. */
  #announce(value: unknown): Announce | undefined {
    if (!isObject(value)) return undefined
    const { uploads, uploadSlots, full, gone, leaving, known } = value
    const node = this.#known(value.node)
    if (!node || !isCount(uploads) || !isCount(uploadSlots)) return undefined
    if (typeof full !== 'boolean' || typeof leaving !== 'boolean') return undefined
    if (known !== undefined && !(typeof known === 'string' && known.length <= 64)) return undefined
    const holdings = listOf(value.holdings, mostHoldings, holdingOf)
    if (!holdings || !isListOf(gone, mostHoldings, isDigestText)) return undefined
    const announce = { node, uploads, uploadSlots, full, holdings, gone, leaving }
    return known === undefined ? announce : { ...announce, known }
  }

  #schedule(value: unknown): Schedule | undefined {
    if (!isObject(value)) return undefined
    const { size, pieces, connected, stalled, part, hears } = value
    const node = this.#known(value.node)
    const location = locationOf(value.location)
    if (!node || !location || !isCount(pieces) || typeof stalled !== 'boolean') return undefined
    if (!isPerhaps(size, isSize) || !isPerhaps(part, isBoolean) || !isPerhaps(hears, isBoolean)) return undefined
    const failed = listOf(value.failed, mostNamed, failedOf)
    if (!failed || !isListOf(connected, mostNamed, isNodeId)) return undefined
    const schedule: Schedule = { node, location, pieces, connected, failed, stalled }
    if (size !== undefined) schedule.size = size
    if (part !== undefined) schedule.part = part
    if (hears !== undefined) schedule.hears = hears
    return schedule
  }

  /** What the node said of itself before, if it says the same now. */
  #known(value: unknown): NodeInfo | undefined {
    if (!isObject(value) || typeof value.id !== 'string') return undefined
    const known = this.#nodes.get(value.id)
    return known && agree(known, value) ? known : undefined
  }
}

function json(text: string): unknown {
  try {
    return parseJson(text)
  } catch (cause) {
    throw new Failure('bad-request', 'the body is not JSON', { cause })
  }
}

/** Whether a node says what it said before: of every field of its description. */
const agrees: { readonly [Field in keyof NodeInfo]-?: (known: NodeInfo[Field], said: unknown) => boolean } = {
  id: Object.is,
  epoch: Object.is,
  url: Object.is,
  zone: Object.is,
  version: Object.is,
  p2p: same,
  modes: (known, said) => same(known, Array.isArray(said) ? said.filter(isMode) : said),
  protocols: sameProtocols,
  homes: same,
}
const fields = Object.entries(agrees) as [keyof NodeInfo, (known: unknown, said: unknown) => boolean][]

function agree(known: NodeInfo, said: Json): boolean {
  for (const [field, agrees] of fields) if (!agrees(known[field], said[field])) return false
  return true
}

function sameProtocols(known: Protocols | undefined, said: unknown): boolean {
  return isObject(said) ? known?.from === said.from && known?.to === said.to : known === said
}

function same(known: readonly string[] | undefined, said: unknown): boolean {
  if (!known || !Array.isArray(said)) return known === said
  return said.length === known.length && known.every((text, i) => text === said[i])
}

function locationOf(value: unknown): Schedule['location'] | undefined {
  if (!isObject(value)) return undefined
  const { kind, digest } = value
  if ((kind !== 'blob' && kind !== 'manifest') || !isDigestText(digest)) return undefined
  const repository = repositoryIn(value.repository)
  return repository && { repository, kind, digest }
}

function repositoryIn(value: unknown): Repository | undefined {
  if (!isObject(value)) return undefined
  const { registry, name } = value
  if (typeof registry !== 'string' || registry.length > 255 || typeof name !== 'string' || name.length > 255) {
    return undefined
  }
  try {
    return repositoryOf(registry, name)
  } catch {
    // The schema says what is wrong with it.
    return undefined
  }
}

function holdingOf(value: unknown): Holding | undefined {
  if (!isObject(value)) return undefined
  const { digest, size, pieces, complete } = value
  if (!isDigestText(digest) || !isSize(size) || !isCount(pieces) || typeof complete !== 'boolean') return undefined
  return { digest, size, pieces, complete }
}

function failedOf(value: unknown): Schedule['failed'][number] | undefined {
  if (!isObject(value)) return undefined
  const { node, reason, refused } = value
  if (!isNodeId(node) || !isShort(reason)) return undefined
  if (refused === undefined) return { node, reason }
  return isShort(refused) ? { node, reason, refused } : undefined
}

function listOf<T>(value: unknown, most: number, read: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined
  const list: T[] = []
  for (const item of value) {
    const one = read(item)
    if (one === undefined) return undefined
    list.push(one)
  }
  return list
}

function isListOf<T>(value: unknown, most: number, is: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.length <= most && value.every(is)
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** It may be left out. */
function isPerhaps<T>(value: unknown, is: (value: unknown) => value is T): value is T | undefined {
  return value === undefined || is(value)
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isSize(value: unknown): value is number {
  return isCount(value) && value <= mostBlobBytes
}

function isShort(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 512
}

function isDigestText(value: unknown): value is Digest {
  return typeof value === 'string' && isDigest(value)
}
