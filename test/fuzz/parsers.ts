/**
 * Everything in the code that reads what others wrote, each with right inputs to start from. A reader may answer, or
 * refuse as it says it does; whatever else it throws is a bug, and so is taking long.
 */

import { parseClusterKeys } from '../../src/cluster/cluster-key.ts'
import { fromYaml } from '../../src/config/given.ts'
import { ConfigError, Problems } from '../../src/config/problem.ts'
import { address, duration, host, join, rate, size, upstream, zone } from '../../src/config/values.ts'
import { Failure } from '../../src/failure.ts'
import { jobSchema, requestOf } from '../../src/harbor/dragonfly.ts'
import { pushesIn } from '../../src/harbor/events.ts'
import type { Names } from '../../src/harbor/images.ts'
import { parseJson } from '../../src/json.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { contentsOf, mediaTypeOf } from '../../src/oci/media.ts'
import { parseRanges, resolveRanges } from '../../src/oci/range.ts'
import { parseReference, parseRegistry, parseTag, repositoryOfRequest } from '../../src/oci/reference.ts'
import { kindOfTarget, parseRequest } from '../../src/registry/request.ts'
import { parseChallenges } from '../../src/source/challenge.ts'
import { parseContentLength, parseContentRange } from '../../src/source/content-range.ts'
import { credentialOfHelper, entryFor, parseDockerConfig } from '../../src/source/docker-config.ts'
import { placeOf } from '../../src/source/places.ts'
import { parseRetryAfter } from '../../src/source/retry.ts'
import { Hearing } from '../../src/wire/hearing.ts'
import {
  type Announce,
  announceReplySchema,
  fetchOrderSchema,
  hearFrame,
  parse,
  resolveReplySchema,
  resolveSchema,
  type Schedule,
  scheduleReplySchema,
} from '../../src/wire/messages.ts'
import { parseRecord } from '../../src/wire/p2p/mdns.ts'
import { parseCandidates } from '../../src/wire/piece-desk.ts'
import { AnswerReader } from '../../src/wire/pieces/answer.ts'
import * as right from './corpus.ts'

export interface Parser {
  readonly name: string
  readonly corpus: readonly string[]
  readonly read: (input: string) => unknown
}

const bytes = (text: string) => new TextEncoder().encode(text)
const parser = (name: string, corpus: readonly string[], read: Parser['read']): Parser => ({ name, corpus, read })
const hearing = new Hearing()
/** The next one that says the same is read by hand. */
const heard = <T extends Announce | Schedule>(message: T): T => {
  hearing.remember(message.node)
  return message
}
const names: Names = (url) => [{ registry: url.host, path: url.pathname.slice('/v2/'.length) }]

/** The answer of a peer port, cut at places that the input itself chooses. */
function answer(text: string): void {
  const all = Buffer.from(text, 'latin1')
  const reader = new AnswerReader(
    ({ length, pieceLength = 0 }) => new Uint8Array(Math.min(length ?? pieceLength, 1 << 20)),
  )
  const step = 1 + (all.length % 97)
  for (let at = 0; at < all.length; at += step) if (reader.feed(all.subarray(at, at + step))) return
}

export const parsers: readonly Parser[] = [
  parser('a frame of a session', right.frames, hearFrame),
  parser('an announce', right.announces, (text) => heard(hearing.announce(text))),
  parser('a question for parents', right.schedules, (text) => heard(hearing.schedule(text))),
  parser('an answer to an announce', right.announceReplies, (text) => parse(announceReplySchema, JSON.parse(text))),
  parser('an answer with parents', right.scheduleReplies, (text) => parse(scheduleReplySchema, JSON.parse(text))),
  parser('an order to fetch', right.orders, (text) => parse(fetchOrderSchema, JSON.parse(text))),
  parser('a question for a tag', right.resolves, (text) => parse(resolveSchema, JSON.parse(text))),
  parser('a question for a part', right.resolvesParts, (text) => parse(resolveSchema, JSON.parse(text))),
  parser('an answer about a tag', right.resolveReplies, (text) => parse(resolveReplySchema, JSON.parse(text))),
  parser('a list of pieces', ['3,17,4', '0', '99999999'], parseCandidates),
  parser('an answer of a peer port', right.answers, answer),
  parser('a record of multicast DNS', right.records, (text) => parseRecord(text.split('\n'))),
  parser("a registry's notification", right.notifications, (text) => pushesIn(parseJson(text), names)),
  parser("an order of Harbor's", right.dragonflyJobs, (text) => {
    const job = jobSchema.safeParse(parseJson(text)).data
    return job && requestOf(job, names)
  }),
  parser('a request target', right.targets, (text) => [kindOfTarget(text), parseRequest('GET', text)]),
  parser('a range', right.ranges, (text) => resolveRanges(parseRanges(text), 1000)),
  parser('a digest', right.digests, parseDigest),
  parser('a reference', right.references, parseReference),
  parser('a registry', right.registries, parseRegistry),
  parser('a tag', ['latest', 'v1.2.3-alpha_9'], parseTag),
  parser('a repository with its registry', right.repositories, (text) => repositoryOfRequest(text, undefined)),
  parser('ns', right.registries, (text) => repositoryOfRequest('team/app', text)),
  parser('a manifest', right.manifests, (text) => [contentsOf(bytes(text)), mediaTypeOf(bytes(text))]),
  parser('a challenge', right.challenges, parseChallenges),
  parser('a content range', ['bytes 0-99/1000', 'bytes */1000', 'bytes 5-6/*'], parseContentRange),
  parser('a content length', ['0', '1000', '9007199254740991'], parseContentLength),
  parser('retry-after', ['3', 'Wed, 21 Oct 2026 07:28:00 GMT'], (text) => parseRetryAfter(text, 0)),
  parser('a Docker configuration', right.dockerConfigs, (text) => {
    const config = parseDockerConfig(text)
    return config && entryFor(config, 'ghcr.io')
  }),
  parser('what a credential helper says', right.helperOutputs, credentialOfHelper),
  parser('an IP address', right.addresses, placeOf),
  parser('a cluster key', right.clusterKeys, (text) => parseClusterKeys(text, 'a file')),
  parser('a configuration file', right.yamls, (text) => fromYaml(text, 'shoal.yaml', new Problems())),
  ...Object.entries({ size, rate, duration, address, host, join, upstream, zone }).map(([name, kind]) =>
    parser(`a setting of kind ${name}`, right.settings[name]!, (text) => kind.safeParse(text)),
  ),
]

/** True for what a reader says it throws. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Failure || error instanceof ConfigError || error instanceof SyntaxError
}
