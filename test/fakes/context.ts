/** A process for command lines under test: what they print is kept, signals are sent by hand, time stands still. */
import type { Context, StartedNode } from '../../src/cli/context.ts'
import type { Settings } from '../../src/config/settings.ts'
import { FakeClock } from './clock.ts'

export class FakeContext implements Context {
  readonly clock = new FakeClock()
  readonly printed: string[] = []
  readonly complained: string[] = []
  readonly poured: Uint8Array[] = []
  readonly started: Settings[] = []
  variables: Record<string, string | undefined> = {}
  files: Record<string, string> = {}
  /** What is answered to questions; undefined: there is nobody to ask. */
  answer: string | undefined
  /** What `start` answers with. */
  node: (ending: AbortSignal) => Promise<StartedNode> = () =>
    Promise.reject(new Error('no node was given to this test'))
  readonly #listeners = new Set<(signal: string) => void>()
  readonly #reloading = new Set<() => void>()

  readonly host = {
    root: true,
    home: '/root',
    terminal: true,
    color: false,
    exists: (path: string) => Object.hasOwn(this.files, path),
    absent: (path: string) => !Object.hasOwn(this.files, path),
    read: (path: string) => {
      const text = this.files[path]
      if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
      return text
    },
    space: () => ({ free: 1024 ** 3, held: 0 }),
  }

  out(text: string): void {
    this.printed.push(text)
  }
  async pour(bytes: Uint8Array): Promise<void> {
    this.poured.push(bytes.slice())
  }
  err(text: string): void {
    this.complained.push(text)
  }
  ask(question: string): Promise<string | undefined> {
    if (this.answer !== undefined) this.printed.push(question)
    return Promise.resolve(this.answer)
  }
  start(settings: Settings, ending: AbortSignal): Promise<StartedNode> {
    this.started.push(settings)
    return this.node(ending)
  }
  onSignal(listener: (signal: string) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  onReload(listener: () => void): () => void {
    this.#reloading.add(listener)
    return () => void this.#reloading.delete(listener)
  }
  /** As SIGHUP does. */
  reload(): void {
    for (const listener of this.#reloading) listener()
  }

  /** A node is told to end as soon as it has started; the sentence about that is left out. */
  endNodes(): void {
    this.node = async () => {
      this.signal('SIGTERM')
      return { summary: () => [], close: async () => void this.complained.pop() }
    }
  }

  get listening(): boolean {
    return this.#listeners.size > 0
  }
  signal(name: string): void {
    for (const listener of this.#listeners) listener(name)
  }
}
