/** A registry that refuses, stalls, breaks off, lies or changes its mind, and two nodes that are asked at once. */
import type { Random } from '../../src/clock.ts'
import type { Fault as Deviation, Seen } from '../fakes/registry.ts'
import { until } from '../lab/until.ts'
import { type Fault, must } from './fault.ts'
import { type End, Stage } from './stage.ts'

const kind = { family: 'source', quick: true, boundSeconds: 240 } as const

/** Every client is told why, nobody gets a wrong byte, and it works again when the registry does. */
function refusal(
  name: string,
  outcome: string,
  deviations: (random: Random) => Deviation[],
  /** What a client is told, or where it was told too late, the log of a node. */
  reason: RegExp,
  more: { quick?: boolean; patience?: number } = {},
): Fault {
  const { quick = true, patience = 60 } = more
  return {
    ...kind,
    quick,
    name,
    outcome: `${outcome}; it works again once the registry does`,
    round: async (scene) => {
      const stage = await Stage.open(scene)
      for (const deviation of deviations(scene.random)) stage.deviate(deviation)
      const ends = await stage.pullAll(patience)
      for (const end of ends) {
        must(!end.worked, 'a pull worked')
        const logs = stage.nodes.map((node) => node.process.logged()).join('\n')
        must(reason.test(end.said) || reason.test(logs), `nobody says why: ${end.said}`)
      }
      await stage.audit()
      await stage.recovers()
      await stage.nobodyBanned()
      return `refused after ${slowest(ends)} s`
    },
  }
}

/** Whatever the registry does for a while, every client gets all of it. */
function survival(
  name: string,
  outcome: string,
  deviations: (random: Random, stage: Stage) => Deviation[],
  /** A request that the fault met: without one, nothing was tried. */
  met: (request: Seen, stage: Stage) => boolean,
  more: { quick?: boolean; patience?: number } = {},
): Fault {
  const { quick = true, patience = 90 } = more
  return {
    ...kind,
    quick,
    name,
    outcome,
    round: async (scene) => {
      const stage = await Stage.open(scene)
      for (const deviation of deviations(scene.random, stage)) stage.deviate(deviation)
      const ends = await stage.pullAll(patience)
      must(
        stage.registry.requests.some((request) => met(request, stage)),
        'the fault did not happen',
      )
      for (const end of ends) must(end.worked, `a pull failed: ${end.worked ? '' : end.said}`)
      await stage.audit()
      await stage.nobodyBanned()
      const share = stage.registry.sentBytes() / stage.size
      must(share < 3, `the registry sent ${share.toFixed(2)} times the image`)
      return `done after ${slowest(ends)} s; the registry sent ${share.toFixed(2)} times the image`
    },
  }
}

function slowest(ends: readonly End[]): string {
  return Math.max(...ends.map((end) => (end.worked ? end.pulled.seconds : end.seconds))).toFixed(1)
}

/** All of the API, or the blobs alone. */
const somewhere = (random: Random): string => (random() < 0.5 ? '/v2/' : '/blobs/')
/** A place in the large layer. */
const somebyte = (random: Random): number => Math.floor(100_000 + random() * 5_000_000)

const incomplete = ({ method, path, sent }: Seen, { image, layers }: Stage): boolean =>
  method === 'GET' && path.includes(image.layers[0]!) && sent > 0 && sent < layers[0]!

export const sourceFaults: readonly Fault[] = [
  refusal(
    'source answers 401',
    'the client is told that the registry wants other credentials',
    (random) => [{ status: 401, headers: { 'www-authenticate': 'Basic realm="r"' }, path: somewhere(random) }],
    /HTTP 401|UNAUTHORIZED|credentials/,
  ),
  refusal(
    'source answers 403',
    'the client is told that the registry refuses it',
    (random) => [{ status: 403, path: somewhere(random) }],
    // Who is asked for in the client's name hears of the client's rights instead.
    /HTTP 403|UNAUTHORIZED/,
  ),
  refusal(
    'source answers 404',
    'the client is told that the registry does not have it',
    (random) => [{ status: 404, path: somewhere(random) }],
    /not there|UNKNOWN/,
  ),
  refusal(
    'source answers 429 for an hour',
    'the client is told at once that the registry limits requests',
    (random) => [{ status: 429, headers: { 'retry-after': '3600' }, path: somewhere(random) }],
    /limits how often/,
  ),
  survival(
    'source answers 429 for a second',
    'the node waits as long as it is asked to, and the pull works',
    () => [{ status: 429, headers: { 'retry-after': '1' }, path: '/blobs/', method: 'GET', times: 2 }],
    ({ status }) => status === 429,
  ),
  refusal(
    'source answers 500',
    'the client is told that the registry has a problem, after a few tries',
    (random) => [{ status: 500, path: somewhere(random) }],
    /HTTP 500/,
  ),
  survival(
    'source answers 500 twice',
    'the node tries again, and the pull works',
    () => [{ status: 500, path: '/blobs/', method: 'GET', times: 2 }],
    ({ status }) => status === 500,
  ),
  refusal(
    'source never answers',
    'the client is told so within two minutes',
    (random) => [{ silent: true, path: somewhere(random) }],
    /no answer within/,
    { quick: false, patience: 120 },
  ),
  survival(
    'source breaks off three bodies',
    'the node goes on where it was, and the pull works',
    (random, { image }) => [
      { cutAfter: Math.floor(somebyte(random) / 3), path: image.layers[0]!, method: 'GET', times: 3 },
    ],
    incomplete,
  ),
  survival(
    'source stalls in a body',
    'the node asks again for the rest, and the pull works',
    (random, { image }) => [{ stallAfter: somebyte(random), path: image.layers[0]!, method: 'GET', times: 1 }],
    incomplete,
    { quick: false },
  ),
  refusal(
    'source sends wrong bytes',
    'no client gets a whole blob, none is called whole, and no honest node is banned',
    (random) => [{ wrongAt: somebyte(random), path: '/blobs/' }],
    /digest/i,
  ),
  refusal(
    'source states a wrong length',
    'the client is told that the blob is not what was promised',
    (random) => [{ length: 6_000_000 + Math.floor(1 + random() * 100_000), bytes: 7_000_000, path: '/blobs/' }],
    /size|longer|bytes|digest/,
  ),
  {
    ...kind,
    name: 'source sends without end',
    outcome:
      'the node reads no more than a body has to have, and gives up in time; it works again once the registry does',
    round: async (scene) => {
      const stage = await Stage.open(scene)
      stage.deviate({ length: 'none', bytes: 1e12, rate: 20e6, path: '/blobs/' })
      const ends = await stage.pullAll(120)
      const held = (await stage.audit()).reduce((sum, { whole }) => sum + whole, 0)
      const worked = ends.filter((end) => end.worked).length
      const sent = stage.registry.sentBytes()
      await Bun.sleep(500)
      must(stage.registry.sentBytes() - sent < 30e6, 'a node goes on reading')
      stage.registry.mend()
      await stage.recovers()
      await stage.nobodyBanned()
      return `${worked} of ${ends.length} pulls worked, ${held} blobs whole, after ${slowest(ends)} s; the registry sent ${Math.round(sent / 1e6)} MB`
    },
  },
  {
    ...kind,
    name: 'tag moves during a pull',
    outcome: 'the pull ends with the image it began with, and the next one after the tag TTL has the new one',
    round: async (scene) => {
      const stage = await Stage.open(scene, { flags: ['--tag-ttl', '1s'] })
      stage.deviate({ rate: 4e6, path: '/blobs/' })
      const pulling = stage.pullAll(60)
      await until('the registry sends blobs', 30, () => stage.registry.sentBytes() > 0, 10)
      const moved = stage.publish('v1', 2)
      for (const end of await pulling) {
        must(end.worked, `a pull failed: ${end.worked ? '' : end.said}`)
        must(end.pulled.digest === stage.image.manifest, `a pull ended with ${end.pulled.digest}`)
      }
      await until('pulls have the new image', 30, async () => {
        const ends = await stage.pullAll(30)
        return ends.every((end) => end.worked && end.pulled.digest === moved.manifest)
      })
      await stage.audit()
      return 'old image whole, then the new one'
    },
  },
  {
    ...kind,
    name: 'blob is deleted at the source',
    outcome: 'who has it goes on serving it to clients and nodes; a blob that nobody has is refused with the reason',
    round: async (scene) => {
      const stage = await Stage.open(scene)
      const first = await stage.pull(0, 60)
      must(first.worked, 'the pull before it failed')
      for (const layer of stage.image.layers) stage.deviate({ status: 404, path: layer, method: 'GET' })
      const second = await stage.pull(1, 60)
      must(second.worked, `the other node did not get it from the first: ${second.worked ? '' : second.said}`)
      const other = stage.publish('v2', 3)
      stage.deviate({ status: 404, path: other.layers[0]! })
      const third = await stage.pull(1, 60, 'v2')
      must(!third.worked && /not there|UNKNOWN/.test(third.said), 'a blob that nobody has was not refused')
      await stage.audit()
      return `from the other node in ${second.pulled.seconds.toFixed(1)} s`
    },
  },
]
