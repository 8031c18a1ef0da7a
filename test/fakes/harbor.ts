/**
 * What Harbor sends to a preheat provider, byte for byte: requests as Go's client writes them, bodies as Go's encoder
 * writes the structs of Harbor's drivers, in the order of their fields. It judges answers as those drivers do.
 */
import { connect } from 'node:net'

/** What Harbor makes for the pull of one repository. */
export const harborToken = 'eyJhbGciOiJSUzI1NiJ9.token-of-harbor.signature'

/** As an instance of Harbor is given them. */
export type HarborAuth =
  | { readonly mode: 'NONE' }
  | { readonly mode: 'BASIC'; readonly user: string; readonly password: string }
  | { readonly mode: 'OAUTH'; readonly token: string }
  | { readonly mode: 'CUSTOM'; readonly header: string; readonly value: string }

export interface HarborImage {
  /** Harbor's external endpoint: `https://harbor.corp`. */
  readonly endpoint: string
  /** `team/app` */
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly scope?: string
}

export interface HarborStatus {
  readonly taskId: string
  readonly status: 'RUNNING' | 'PENDING' | 'SUCCESS' | 'FAIL'
  readonly error: string
}

interface Answered {
  readonly status: number
  readonly body: string
}

export class HarborClient {
  readonly #host: string
  readonly #auth: HarborAuth

  /** `http://10.0.0.1:4883` */
  constructor(endpoint: string, auth: HarborAuth = { mode: 'NONE' }) {
    this.#host = new URL(endpoint).host
    this.#auth = auth
  }

  /** The Dragonfly driver's. @throws when Harbor would call the instance unhealthy */
  async dragonflyHealth(): Promise<void> {
    await this.#get('/healthy')
  }

  /** The Dragonfly driver's. @throws where Harbor's job would fail */
  async dragonflyPreheat(image: HarborImage): Promise<HarborStatus> {
    const body = JSON.stringify({
      type: 'preheat',
      args: {
        type: 'image',
        url: manifestUrl(image),
        tag: '',
        filtered_query_params: '',
        headers: { Authorization: `Bearer ${harborToken}` },
        scope: image.scope ?? '',
        concurrent_count: 0,
        timeout: 0,
      },
      scheduler_cluster_ids: null,
    })
    return dragonflyStatus(await this.#post('/oapi/v1/jobs', body), 'PENDING')
  }

  async dragonflyProgress(taskId: string): Promise<HarborStatus> {
    return dragonflyStatus(await this.#get(`/oapi/v1/jobs/${taskId}`))
  }

  async krakenHealth(): Promise<void> {
    await this.#get('/health')
  }

  /** The Kraken driver's: any 2xx is success to it, at once. */
  async krakenPreheat(image: HarborImage): Promise<void> {
    await this.#post('/registry/notifications', krakenBody(image))
  }

  /** As its webhook job sends it: with the headers that it was given, and no others. */
  async webhook(
    image: HarborImage,
    format: 'Default' | 'CloudEvents',
    path = '/registry/notifications',
  ): Promise<void> {
    const body = webhookBody(image, format)
    const type = format === 'Default' ? 'application/json' : 'application/cloudevents+json'
    const set = [...this.#authorization(), `Content-Type: ${type}`]
    const { status, body: said } = await this.#send('POST', path, set, body)
    if (status < 200 || status >= 300) throw new Error(`abnormal response code: ${status}, body: ${said}`)
  }

  async #get(path: string): Promise<string> {
    const { status, body } = await this.#exchange('GET', path)
    if (Math.trunc(status / 100) !== 2) throw new Error(`GET ${path} error: ${status} ${body}`)
    return body
  }

  async #post(path: string, body: string): Promise<string> {
    const answer = await this.#exchange('POST', path, body)
    if (Math.trunc(answer.status / 100) !== 2) throw new Error(`POST ${path} error: ${answer.status} ${answer.body}`)
    if (answer.status === 208) throw new Error('status already reported')
    return answer.body
  }

  #exchange(method: string, path: string, body?: string): Promise<Answered> {
    const set = ['Accept: application/json', ...this.#authorization()]
    if (body !== undefined) set.push('Content-Type: application/json')
    return this.#send(method, path, set, body)
  }

  /** Go writes the host, the agent and the length first, then the headers that were set, sorted, and its own last. */
  #send(method: string, path: string, set: string[], body?: string): Promise<Answered> {
    const head = [
      `${method} ${path} HTTP/1.1`,
      `Host: ${this.#host}`,
      'User-Agent: Go-http-client/1.1',
      ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
      ...set.sort(),
      'Accept-Encoding: gzip',
    ]
    return exchange(this.#host, `${head.join('\r\n')}\r\n\r\n${body ?? ''}`)
  }

  #authorization(): string[] {
    const auth = this.#auth
    switch (auth.mode) {
      case 'NONE':
        return []
      case 'BASIC':
        return [`Authorization: Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`]
      case 'OAUTH':
        return [`Authorization: Bearer ${auth.token}`]
      case 'CUSTOM':
        return [`${auth.header}: ${auth.value}`]
    }
  }
}

export function krakenBody(image: HarborImage): string {
  const target = {
    MediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    Digest: image.digest,
    Repository: image.repository,
    Url: manifestUrl(image),
    Tag: image.tag,
  }
  const event = {
    Id: 'hYsbUc0ZV4mOWQ1pDk7gkGzNqT2xLr3J',
    TimeStamp: '2026-01-01T12:00:00.123456789Z',
    Action: 'push',
    Target: target,
    Request: null,
    Actor: null,
  }
  return JSON.stringify({ Events: [event] })
}

/** A webhook in Harbor's own format, and the same as CloudEvents. */
export function webhookBody(image: HarborImage, format: 'Default' | 'CloudEvents', type = 'PUSH_ARTIFACT'): string {
  const [namespace = '', ...rest] = image.repository.split('/')
  const data = {
    resources: [
      {
        digest: image.digest,
        tag: image.tag || image.digest,
        resource_url: `${new URL(image.endpoint).host}/${image.repository}${image.tag ? `:${image.tag}` : `@${image.digest}`}`,
      },
    ],
    repository: {
      date_created: 1677053165,
      name: rest.join('/'),
      namespace,
      repo_full_name: image.repository,
      repo_type: 'private',
    },
  }
  if (format === 'Default') return JSON.stringify({ type, occur_at: 1678082303, operator: 'admin', event_data: data })
  return JSON.stringify({
    specversion: '1.0',
    id: '4b2f89a6-548d-4c12-9993-a1f5790b97d2',
    source: '/projects/1/webhook/policies/3',
    type: type === 'PUSH_ARTIFACT' ? 'harbor.artifact.pushed' : 'harbor.artifact.pulled',
    datacontenttype: 'application/json',
    time: '2026-01-01T12:00:00Z',
    data,
    operator: 'admin',
    requestid: '2eedfab8-61d3-4f3c-8ec3-8f82d1ec4c84',
  })
}

function manifestUrl({ endpoint, repository, tag }: HarborImage): string {
  return `${endpoint}/v2/${repository}/manifests/${tag}`
}

/** As Go decodes it: a wrong type fails, and so does a time that is not RFC 3339. */
function dragonflyStatus(body: string, always?: HarborStatus['status']): HarborStatus {
  const { id, created_at, updated_at, state, result } = JSON.parse(body) as Record<string, unknown>
  if (typeof id !== 'number' || !Number.isInteger(id)) throw new Error('cannot unmarshal into field id of type int')
  for (const time of [created_at, updated_at]) {
    if (typeof time !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(time)) {
      throw new Error(`parsing time ${JSON.stringify(time)} as RFC 3339`)
    }
  }
  const states: Record<string, HarborStatus['status']> = { PENDING: 'RUNNING', SUCCESS: 'SUCCESS', FAILURE: 'FAIL' }
  const { job_states = [] } = (result ?? {}) as { job_states?: { error: string }[] }
  const status = always ?? states[String(state)] ?? 'FAIL'
  return { taskId: String(id), status, error: status === 'FAIL' ? job_states.map(({ error }) => error).join('; ') : '' }
}

function exchange(host: string, request: string): Promise<Answered> {
  const { hostname, port } = new URL(`http://${host}`)
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(request))
    socket.setTimeout(30_000, () => socket.destroy(new Error('no answer within 30 s')))
    socket.on('error', reject)
    socket.on('data', (part: Buffer) => {
      parts.push(part)
      const answered = parse(Buffer.concat(parts).toString('utf8'))
      if (!answered) return
      socket.destroy()
      resolve(answered)
    })
    socket.on('close', () => reject(new Error('the connection ended before the answer')))
  })
}

/** Undefined while it is not whole. */
function parse(text: string): Answered | undefined {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  if (rest.length === 0) return undefined
  const body = rest.join('\r\n\r\n')
  const length = /^content-length: *(\d+)/im.exec(head)?.[1]
  if (length === undefined) throw new Error(`an answer without its length: ${head}`)
  if (Buffer.byteLength(body) < Number(length)) return undefined
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), body }
}
