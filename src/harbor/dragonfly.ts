/**
 * Harbor's provider "Dragonfly": what Harbor sends to Dragonfly's open API, and what it understands of the answers. Of the
 * states it knows `PENDING`, `SUCCESS` and `FAILURE`, and takes any other for a failure; ids are integers, times RFC 3339,
 * and 208 says on a POST that it failed. While a job is pending it asks every 10 s, for up to 30 minutes. Pure.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { fileAt, isOrigin } from '../oci/file.ts'
import type { PreheatJob, PreheatRequest, Target } from '../preheat/preheats.ts'
import { imagesAt, type Names } from './images.ts'

const text = z.string().max(2048)

/**
 * The rest of what may be among the arguments is for how Dragonfly does it, and has no meaning here: its tag and filtered
 * query parameters tell its tasks apart (here the digest does), counts and lengths are those of its scheduler.
 */
export const jobSchema = z.object({
  type: z.literal('preheat'),
  args: z.object({
    type: z.enum(['image', 'file']).default('image'),
    url: text.optional(),
    urls: z.array(text).max(100).optional(),
    headers: z.record(z.string().max(256), z.string().max(16_384)).nullish(),
    username: z.string().max(256).optional(),
    password: z.string().max(4096).optional(),
    platform: z.string().max(64).optional(),
    scope: z.string().max(64).optional(),
    /** Of the peers, with the scope `all_peers`. */
    percentage: z.number().int().min(1).max(100).nullish(),
  }),
})
export type DragonflyJob = z.infer<typeof jobSchema>

/** `single_peer`, as Harbor calls it, is any one of Dragonfly's seeds. */
const scopes: Readonly<Record<string, Target['scope']>> = {
  '': 'seeds',
  single_peer: 'seeds',
  single_seed_peer: 'seeds',
  all_seed_peers: 'seeds',
  all_peers: 'all',
}

/** @throws {Failure} `bad-request` and what is wrong with a URL */
export function requestOf({ args }: DragonflyJob, names: Names): PreheatRequest {
  const urls = [...(args.url ? [args.url] : []), ...(args.urls ?? [])]
  if (urls.length === 0) throw new Failure('bad-request', 'args.url: expected what to preheat')
  const target = targetOf(args)
  if (args.type === 'file') {
    return { what: urls.map((url) => fileUrl(url)), platforms: 'all', target }
  }
  const images = urls.flatMap((url) => imagesAt(url, names))
  const authorization = authorizationOf(args)
  const { platform } = args
  return {
    what: [...new Set(images.map(({ name }) => name))],
    platforms: platform ? [platform] : 'all',
    target,
    ...(authorization === undefined
      ? {}
      : { authorizations: Object.fromEntries(images.map(({ registry }) => [registry, authorization])) }),
  }
}

function fileUrl(url: string): string {
  const { registry, name } = fileAt(url)
  if (!isOrigin(registry)) throw new Failure('bad-request', 'args.url: expected the URL of a file')
  return `${registry}/${name}`
}

function targetOf({ scope = '', percentage }: DragonflyJob['args']): Target {
  const ours = Object.hasOwn(scopes, scope) ? scopes[scope] : undefined
  if (ours === undefined) {
    const known = Object.keys(scopes).filter((word) => word !== '')
    throw new Failure('bad-request', `args.scope: expected one of ${known.join(', ')}`)
  }
  return { scope: ours, ...(ours === 'all' && percentage ? { share: percentage / 100 } : {}) }
}

/** Harbor makes a token that lets its bearer pull this one repository for half an hour. */
function authorizationOf({ headers, username, password }: DragonflyJob['args']): string | undefined {
  const given = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'authorization')?.[1]
  if (given) return given
  if (!username || password === undefined) return undefined
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

const states = {
  pending: 'PENDING',
  running: 'PENDING',
  done: 'SUCCESS',
  failed: 'FAILURE',
  cancelled: 'FAILURE',
} as const satisfies Record<PreheatJob['state'], string>

/**
 * `addressOf`: of a node, for the table that Harbor logs when all is done. When it is not, Harbor logs `error` of each
 * job state, and nothing where there is none.
 */
export function answerOf(job: PreheatJob, addressOf: (node: string) => string | undefined) {
  const url = job.request.what.join(' ')
  const taskOf = ({ node, reason }: PreheatJob['nodes'][number]) => ({
    url,
    hostname: node,
    ip: addressOf(node) ?? '',
    ...(reason === undefined ? {} : { description: reason }),
  })
  const inState = (...of: PreheatJob['state'][]) => job.nodes.filter(({ state }) => of.includes(state)).map(taskOf)
  return {
    id: job.id,
    created_at: new Date(job.createdAt).toISOString(),
    updated_at: new Date(job.updatedAt).toISOString(),
    type: 'preheat',
    state: states[job.state],
    args: {
      type: url.includes('://') ? 'file' : 'image',
      url,
      platforms: job.request.platforms,
      scope: job.request.target.scope === 'all' ? 'all_peers' : 'all_seed_peers',
    },
    result: {
      job_states: [
        {
          state: states[job.state],
          error: errorOf(job),
          results: [
            {
              scheduler_cluster_id: 1,
              success_tasks: inState('done'),
              failure_tasks: inState('failed', 'cancelled'),
            },
          ],
        },
      ],
    },
  }
}

function errorOf(job: PreheatJob): string {
  if (states[job.state] !== 'FAILURE') return ''
  return job.reason ?? (job.state === 'cancelled' ? 'the preheat was cancelled' : 'the preheat failed')
}
