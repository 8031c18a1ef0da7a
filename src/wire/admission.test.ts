import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { eventually, startTestNode, type TestNode } from '../../test/fakes/network.ts'
import { relay } from '../../test/fakes/relay.ts'
import { guesses, tryAll } from '../../test/lab/stranger.ts'
import { ClusterKey } from '../cluster/cluster-key.ts'
import { KeyRing } from '../cluster/key-ring.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'

setDefaultTimeout(60_000)

const never = new AbortController().signal
const tries = Number(process.env.STRANGER_TRIES ?? 100)
const digest = digestOf(new TextEncoder().encode('blob'))
const newKey = () => new ClusterKey(crypto.getRandomValues(new Uint8Array(32)))
const secretText = 'what the image is made of '.repeat(1000)

let dir: string
let path: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-admission-'))
  path = join(dir, 'blob')
  await Bun.write(path, secretText)
})
afterAll(() => rm(dir, { recursive: true }))

const ends: (() => unknown)[] = []
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()))
})

async function start(...args: Parameters<typeof startTestNode>): Promise<TestNode> {
  const node = await startTestNode(...args)
  ends.push(() => node.network.close())
  node.inbound.piece = () => ({ piece: 0, path, start: 0, end: secretText.length, done() {} })
  return node
}

const selfOf = (node: TestNode) => node.network.membership.self
/** Of others: it announces to itself as well. */
const announcesOf = (node: TestNode) => node.inbound.announces.filter((it) => it.node.id !== selfOf(node).id)
const failureOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error) => (error instanceof Failure ? error.message : String(error)),
  )
const announceTo = (from: TestNode, to: TestNode, url = selfOf(to).url, as = selfOf(from)) =>
  from.network.outbound.announce(
    { ...selfOf(to), url },
    { node: as, uploads: 0, uploadSlots: 1, full: false, holdings: [], gone: [], leaving: false },
  )
const pieceOf = (from: TestNode, to: TestNode, url = selfOf(to).url) =>
  from.network.outbound.piece({ ...selfOf(to), url }, digest, { pieces: [0] }, never, () => {})

test.each([false, true])(
  'whoever is no member is refused, and asks in vain (encrypted: %p)',
  async (encrypt) => {
    const key = newKey()
    const metrics = createMetrics()
    const told: string[] = []
    const log = { ...silentLog, warn: (message: string) => told.push(message) }
    const node = await start({ ring: new KeyRing([key]), encrypt, metrics, log })
    // One that a part of a node answers, which the stranger tries as well.
    node.network.calls.on({ name: 'vitals', request: z.object({}), reply: z.object({}) }, async () => ({}))
    const { url, id } = selfOf(node)
    const { member, kinds, said } = await tryAll({ url, node: id, key, digest }, tries)
    const successes = Object.entries(kinds).filter((entry) => entry[1].successes > 0)
    expect([member, successes]).toEqual([{ ping: 204, piece: 200 }, []])
    const refused = (await metrics.peerRefused.get()).values
    expect(refused.reduce((sum, { value }) => sum + value, 0)).toBe(tries * Object.keys(kinds).length + guesses.length)
    // Why, and nothing of what there is.
    expect(said.filter((text) => !/^401 (\{"code":"not-admitted","message":"[^"]+"\})?$/.test(text))).toEqual([])
    expect(said.filter((text) => text.includes(id) || text.includes(digest))).toEqual([])
    // Each reason is told, and again after ever longer times: a stranger does not fill the log.
    const reasons = new Set(refused.map(({ labels }) => labels.reason)).size
    expect(told.length).toBeGreaterThanOrEqual(reasons)
    expect(told.length).toBeLessThan(5 * reasons)
    expect([announcesOf(node), node.inbound.sessions]).toEqual([[], []])
  },
  60_000 + 30 * tries,
)

describe('with a cluster key', () => {
  test('who answers in the place of a scheduler is not believed', async () => {
    const ring = new KeyRing([newKey()])
    const [a, b, open] = await Promise.all([start({ ring }), start({ ring }), start()])
    expect(await failureOf(announceTo(a, b))).toBe('no failure')
    expect(await failureOf(announceTo(a, b, selfOf(open).url))).toContain('cannot prove that it holds the cluster key')
    expect(announcesOf(open)).toHaveLength(1)
  })

  test('an answer that is changed on its way is not believed', async () => {
    const ring = new KeyRing([newKey()])
    const [a, b] = await Promise.all([start({ ring }), start({ ring })])
    const honest = await relay(selfOf(b).url, (bytes) => bytes)
    const liar = await relay(selfOf(b).url, (bytes) => {
      const text = bytes.toString('latin1')
      return text.startsWith('HTTP/') ? Buffer.from(text.replace(/"epoch":"./, '"epoch":"_'), 'latin1') : bytes
    })
    ends.push(honest.close, liar.close)
    expect(await failureOf(announceTo(a, b, honest.url))).toBe('no failure')
    expect(await failureOf(announceTo(a, b, liar.url))).toContain('cannot prove that it holds the cluster key')
  })

  test('a member that speaks for another is refused', async () => {
    const ring = new KeyRing([newKey()])
    const [a, b, c] = await Promise.all([start({ ring }), start({ ring }), start({ ring })])
    expect(await failureOf(announceTo(a, b, undefined, selfOf(c)))).toContain('answered 401')
    expect(announcesOf(b)).toEqual([])
  })

  test('a session whose frames are changed on their way is over', async () => {
    const ring = new KeyRing([newKey()])
    const [a, b] = await Promise.all([start({ ring }), start({ ring })])
    const between = await relay(selfOf(b).url, (bytes) => bytes)
    ends.push(between.close)
    const session = await a.network.outbound.session({ ...selfOf(b), url: between.url })
    await eventually('the other end has it too', () => b.inbound.sessions.length === 1)
    session.send({ t: 'want', digest })
    await eventually('a frame arrives', () => b.inbound.frames.length === 1)
    between.change((bytes) => bytes.map((byte, i) => (i === bytes.length - 3 ? byte ^ 1 : byte)))
    session.send({ t: 'unwant', digest })
    await eventually('both ends know', () => a.inbound.closings.length === 1 && b.inbound.closings.length === 1)
    expect(b.inbound.frames).toHaveLength(1)
  })

  test('pieces and calls go on while the key is changed, and who kept the old one is out', async () => {
    const [old, next] = [newKey(), newKey()]
    const rings = [new KeyRing([old]), new KeyRing([old]), new KeyRing([old])] as const
    const [a, b, late] = await Promise.all(rings.map((ring) => start({ ring })))
    const session = await late!.network.outbound.session(selfOf(b!))
    await eventually('the other end has it too', () => b!.inbound.sessions.length === 1)
    const both = async () => [await failureOf(announceTo(a!, b!)), await failureOf(pieceOf(b!, a!))]
    for (const keys of [[old, next], [next, old], [next]]) {
      rings[0].replace(keys)
      expect(await both()).toEqual(['no failure', 'no failure'])
      rings[1].replace(keys)
      expect(await both()).toEqual(['no failure', 'no failure'])
    }
    await eventually('its session is closed', () => !session.open)
    expect(await failureOf(announceTo(late!, b!))).toContain(
      '401: the ticket was made with a key that does not admit here',
    )
    expect(await failureOf(pieceOf(late!, b!))).toContain('answered 401 instead of a piece')
    expect(await failureOf(announceTo(b!, late!))).not.toBe('no failure')
  })
})

describe('on the wire between nodes', () => {
  const spied = async (encrypt: boolean) => {
    const options = { ring: new KeyRing([newKey()]), encrypt }
    const [a, b] = await Promise.all([start(options), start(options)])
    const seen: Buffer[] = []
    const spy = await relay(selfOf(b).url, (bytes) => {
      seen.push(Buffer.from(bytes))
      return bytes
    })
    ends.push(spy.close)
    const { bytes } = await pieceOf(a, b, spy.url)
    const session = await a.network.outbound.session({ ...selfOf(b), url: spy.url })
    session.send({ t: 'want', digest })
    await eventually('a frame arrives', () => b.inbound.frames.length === 1)
    expect(Buffer.from(bytes).toString()).toBe(secretText)
    return Buffer.concat(seen).toString('latin1')
  }

  test('everything can be read without --encrypt, and nothing with it', async () => {
    const words = ['what the image is made of', digest, 'x-shoal-ticket', '/shoal/v1']
    const plain = await spied(false)
    const secret = await spied(true)
    expect(words.map((word) => [plain.includes(word), secret.includes(word)])).toEqual(words.map(() => [true, false]))
    expect(secret.length).toBeGreaterThan(secretText.length)
  })

  test('a node that was put in the place of another is told from it before anything is said', async () => {
    const options = { ring: new KeyRing([newKey()]), encrypt: true }
    const [a, b, c] = await Promise.all([start(options), start(options), start(options)])
    const wrong = await failureOf(pieceOf(a, b, selfOf(c).url))
    expect(wrong).toContain(`there is node ${selfOf(c).id}, not ${selfOf(b).id}`)
    expect(await failureOf(pieceOf(a, b))).toBe('no failure')
  })

  test('a node that starts anew, with another certificate, is believed again', async () => {
    const { Identity } = await import('../cluster/identity.ts')
    const identity = await Identity.temporary()
    const ring = new KeyRing([newKey()])
    const a = await start({ ring, encrypt: true })
    const first = await startTestNode({ ring, encrypt: true, identity })
    const port = Number(new URL(selfOf(first).url).port)
    expect(await failureOf(announceTo(a, first))).toBe('no failure')
    await first.network.close()
    const again = await start({ ring, encrypt: true, identity, peerAddr: { host: '127.0.0.1', port } })
    await eventually('it is spoken with', async () => (await failureOf(announceTo(a, again))) === 'no failure')
    expect(await failureOf(pieceOf(a, again))).toBe('no failure')
  })

  test('nodes that encrypt and nodes that do not stay apart, and say why', async () => {
    const ring = new KeyRing([newKey()])
    const said: unknown[] = []
    const log = { ...silentLog, error: (_: string, fields?: object) => said.push(fields) }
    const secret = await start({ ring, encrypt: true })
    const plain = await start({ ring, join: [secret.p2p], log })
    await eventually('it is told', () => said.length > 0)
    expect(JSON.stringify(said)).toContain('that node encrypts, and this one does not: give --encrypt to all nodes')
    expect(await failureOf(announceTo(plain, secret))).toContain('encrypts, and this one does not')
    expect(await failureOf(pieceOf(secret, plain))).toContain('this node encrypts, and node')
    expect(secret.network.membership.find(selfOf(plain).id)).toBeUndefined()
  })
})
