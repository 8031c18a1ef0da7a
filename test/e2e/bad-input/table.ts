/**
 * What a node and its command line answer to wrong input: the real binary, one node on loopback, a registry that has one
 * image. The test asserts every row, `scripts/bad-input` prints them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { builtBinary, LabNode } from '../../lab/node.ts'
import { type BadCommand, badCommands } from './commands.ts'
import { type Answer, ask, bytesOf } from './http.ts'
import { type BadRequest, badRequests, type Port } from './requests.ts'

/** Apart from what other tests listen on. */
const address = '127.0.77.1'
const elsewhere = '127.0.77.2'
const ports: Record<Port | 'p2p', number> = { registry: 14880, peer: 14881, p2p: 14882, admin: 14883 }
const upstream = 'registry.lab'
const repository = 'team/app'
/** Who is no node is told that, and nothing else. */
const someNode = `12D3KooW${'a'.repeat(44)}`

export interface CommandEnd {
  /** Undefined when it had not ended after 20 s. */
  readonly code: number | undefined
  readonly text: string
}

export class BadInput {
  readonly requests: readonly BadRequest[]
  readonly commands: readonly BadCommand[]
  readonly #dir: string
  readonly #registry: FakeRegistry
  #node: LabNode | undefined

  private constructor(dir: string, registry: FakeRegistry) {
    this.#dir = dir
    this.#registry = registry
    const layer = noise(1000)
    const { layers } = registry.image(repository, 'v1', [layer])
    this.requests = badRequests({ upstream, repository, blob: layers[0]!, size: layer.length })
    const at = (port: keyof typeof ports) => `${address}:${ports[port]}`
    const taken = { registry: at('registry'), peer: at('peer'), p2p: at('p2p'), admin: at('admin') }
    this.commands = badCommands({ dir, taken, takenData: join(dir, 'node', 'data') })
  }

  /** The table alone: what goes through it without using it must not leave a node behind. */
  static async read(): Promise<BadInput> {
    return new BadInput(mkdtempSync(join(scratchRoot, 'shoal-bad-input-')), await FakeRegistry.start())
  }

  /** To be called before anything is sent or run; whatever comes of it, {@link close} is to be called then. */
  async start(): Promise<void> {
    const flags = ['--no-mdns', '--only-listed-upstreams', '--upstream', `${upstream}=http://${this.#registry.host}`]
    process.on('exit', this.#onExit)
    this.#node = new LabNode({ address, dir: join(this.#dir, 'node'), flags })
    await this.#node.ready()
  }

  send({ port = 'registry', method = 'GET', target, headers = [], body = '', raw }: BadRequest): Promise<Answer> {
    const said = port === 'peer' ? [...headers, `X-Shoal-Node: ${someNode}`] : headers
    const request = { method, target, headers: said, body }
    return ask(address, ports[port], raw ?? bytesOf(`${address}:${ports[port]}`, request))
  }

  async run({ args, env = {} }: BadCommand): Promise<CommandEnd> {
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SHOAL_')))
    const child = Bun.spawn([builtBinary, ...this.#complete(args)], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      env: { ...own, ...env },
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
    try {
      const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
      await child.exited
      return { code: child.exitCode ?? undefined, text: `${out}${err}`.trim() }
    } finally {
      clearTimeout(timer)
    }
  }

  /** The node still serves, whatever it was sent. */
  async alive(): Promise<boolean> {
    return this.#node?.process.running === true && (await this.#node.get('/readyz')).includes('"ready":true')
  }

  async close(): Promise<void> {
    process.off('exit', this.#onExit)
    await this.#node?.process.stop()
    await this.#registry.stop()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  readonly #onExit = () => {
    this.#node?.process.signal('SIGKILL')
    rmSync(this.#dir, { recursive: true, force: true })
  }

  /** What else a node needs to be told to be in nobody's way, where the row does not speak of it. */
  #complete(args: readonly string[]): string[] {
    if (args[0] !== 'up') return [...args]
    const config = join(this.#dir, 'empty.yaml')
    writeFileSync(config, '')
    const usual = {
      '--config': config,
      '--data-dir': join(this.#dir, 'other'),
      '--registry-addr': `${elsewhere}:0`,
      '--peer-addr': `${elsewhere}:0`,
      '--p2p-addr': `${elsewhere}:0`,
      '--admin-addr': `${elsewhere}:0`,
      '--advertise': elsewhere,
    }
    const missing = Object.entries(usual).filter(([flag]) => !args.includes(flag))
    return ['up', '--no-mdns', ...missing.flat(), ...args.slice(1)]
  }
}
