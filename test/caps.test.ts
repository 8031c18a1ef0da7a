/** The README's table of what others may take up of a node, against the code. That the caps hold is tested where they are. */
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { adminLimits } from '../src/admin/admin.ts'
import { mostJobs } from '../src/lazy/making.ts'
import { mostReads } from '../src/lazy/reads.ts'
import { mostIndexBytes } from '../src/lazy/statement.ts'
import { maxManifestBytes } from '../src/oci/media.ts'
import { mostRanges } from '../src/oci/range.ts'
import { mostBlobBytes } from '../src/piece/layout.ts'
import { mostErrands } from '../src/preheat/bringer.ts'
import { mostParts } from '../src/preheat/errand.ts'
import { mostBodyBytes } from '../src/registry/lazy.ts'
import { longestPath, longestQuery } from '../src/registry/request.ts'
import { serverLimits } from '../src/registry/server.ts'
import { mostAhead } from '../src/registry/turns.ts'
import { maxTokenBytes } from '../src/source/authenticator.ts'
import { defaultTimeouts, maxRedirects } from '../src/source/exchange.ts'
import { maxPassedBytes } from '../src/source/registry-source.ts'
import { mostRelays } from '../src/swarm/relays.ts'
import { patienceMs } from '../src/swarm/seeding/uploader.ts'
import { defaultUploadTuning } from '../src/swarm/seeding/uploads.ts'
import { intakeLimits } from '../src/wire/intake.ts'
import { maxControlBytes, maxFrameBytes } from '../src/wire/messages.ts'
import { hostLimits } from '../src/wire/p2p/host.ts'
import { mostSessions } from '../src/wire/peer-app.ts'
import { wireRules } from '../src/wire/rules.ts'

const bytes = (count: number) => {
  const units = ['bytes', 'KiB', 'MiB', 'GiB']
  const power = Math.min(3, Math.floor(Math.log2(count) / 10))
  const value = count / 1024 ** power
  return `${Number.isInteger(value) ? value : count} ${Number.isInteger(value) ? units[power] : 'bytes'}`
}
const seconds = (ms: number) => `${ms / 1000} s`

const caps = [
  [
    'registry port',
    'connections',
    `${serverLimits.connections}, or a quarter of the files that may be open`,
    'those that rest are closed; then 404: the engine goes to the registry',
  ],
  ['', 'head of a request', bytes(serverLimits.headerBytes), '431'],
  ['', 'path; query', `${bytes(longestPath)}; ${bytes(longestQuery)}`, '400'],
  ['', 'time to send a request', seconds(serverLimits.requestMs), '408'],
  ['', 'rest between requests', seconds(serverLimits.keepAliveMs), 'closed'],
  ['', 'an answer of which nothing is taken', seconds(serverLimits.stalledMs), 'reset'],
  ['', 'requests sent ahead on a connection', String(mostAhead), 'reset'],
  ['', 'ranges, which must not overlap', String(mostRanges), '400'],
  ['', 'chunks in a list of reads; the list', `${mostReads}; ${bytes(mostBodyBytes)}`, '400; 413'],
  ['peer port', 'requests of one host under way', String(intakeLimits.requestsOfHost), '503'],
  [
    '',
    'body; all of one host; all',
    `${bytes(maxControlBytes)}; ${bytes(intakeLimits.bodyBytesOfHost)}; ${bytes(intakeLimits.bodyBytes)}`,
    '413; 503; 503',
  ],
  ['', 'time to send a body', seconds(wireRules.bodyDeadline), '404'],
  ['', 'pieces named in a request', String(wireRules.candidates), '400'],
  [
    '',
    'who waits for a piece; for how long',
    `${defaultUploadTuning.mostWaiting}; ${seconds(patienceMs)}`,
    '503, to the newest of whoever waits with most',
  ],
  ['', 'a piece that is not taken', seconds(wireRules.pieceDeadline), 'its turn is over'],
  ['', 'pieces passed on before they are whole', String(mostRelays), '404: who asks goes back to its parent'],
  ['', 'rest, an answer of which nothing is taken', `${wireRules.idleSeconds} s`, 'closed'],
  ['', 'errands for preheats; blobs of one', `${mostErrands}; ${mostParts}`, '503; 400'],
  ['', 'layers that wait for their indexes; an index', `${mostJobs}; ${bytes(mostIndexBytes)}`, 'not made'],
  ['', 'sessions; a frame', `${mostSessions}; ${bytes(maxFrameBytes)}`, '503; closed'],
  [
    '',
    'silence of a session; frames it does not take',
    `${seconds(wireRules.silentAfter)}; ${bytes(wireRules.sessionBacklog)}`,
    'closed',
  ],
  ['libp2p port', 'connections; not yet introduced', `${hostLimits.most}; ${hostLimits.pending}`, 'refused'],
  ['', 'new ones of one host in a second', String(hostLimits.perSecond), 'refused'],
  ['', 'time to introduce oneself', seconds(hostLimits.upgradeMs), 'closed'],
  ['admin port', 'requests under way', String(adminLimits.requests), '503'],
  ['', 'body', bytes(adminLimits.bodyBytes), '413'],
  ['', 'rest, an answer of which nothing is taken', `${adminLimits.idleSeconds} s`, 'closed'],
  [
    'a registry',
    'time to begin an answer; silence in a body',
    `${seconds(defaultTimeouts.headersMs)}; ${seconds(defaultTimeouts.idleMs)}`,
    'given up, tried again',
  ],
  ['', 'redirects, each checked as the first', String(maxRedirects), 'given up'],
  [
    '',
    'manifest; list; token',
    `${bytes(maxManifestBytes)}; ${bytes(maxPassedBytes)}; ${bytes(maxTokenBytes)}`,
    'given up',
  ],
  ['', 'blob', bytes(mostBlobBytes), 'left to the engine'],
] as const

test('the README has every cap, as it is', () => {
  const readme = readFileSync(join(import.meta.dir, '..', 'README.md'), 'utf8')
  const [, block = ''] = readme.split('<!-- caps -->')
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const [, , ...rows] = block.split('<!-- /caps -->')[0]!.trim().split('\n').map(cells)
  expect(rows).toEqual(caps.map((row) => [...row]))
})
