/**
 * A real Chromium, headless, on a host of a lab or on this machine: pages that remember what went wrong in them, and are
 * looked at by axe.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser as Chromium, chromium, type Page } from 'playwright-core'
import type { Host } from './host.ts'

const program = Bun.which('chromium')

export interface Look {
  readonly width: number
  readonly height: number
  readonly dark: boolean
}

export const desk: Look = { width: 1280, height: 900, dark: false }
export const night: Look = { ...desk, dark: true }
export const phone: Look = { width: 390, height: 844, dark: false }

export interface BrowserPage {
  readonly page: Page
  /** What its console and its scripts said of errors. */
  readonly errors: readonly string[]
  /** What axe finds wrong with it, or with a part of it, as it is now: one sentence each. */
  violations(part?: string): Promise<string[]>
  /** Pixels by which it is wider than the screen. */
  overflow(): Promise<number>
  look(look: Look): Promise<void>
  close(): Promise<void>
}

export class Browser {
  readonly #chromium: Chromium

  private constructor(chromium: Chromium) {
    this.#chromium = chromium
  }

  static obstacle(): string | undefined {
    if (!program) return 'chromium is not installed'
    if (process.getuid?.() !== 0) return 'not root'
  }

  /** @param dir for the program that starts it on `host`; without a host it runs on this machine */
  static async launch(dir: string, host?: Host): Promise<Browser> {
    let executablePath = program!
    if (host) {
      executablePath = join(dir, 'chromium-there')
      // The pipes by which it is told what to do go through exec.
      writeFileSync(executablePath, `#!/bin/sh\nexec ${host.inside([program!]).join(' ')} "$@"\n`)
      chmodSync(executablePath, 0o755)
    }
    // Its sandbox is not for root, and its shared memory not for small containers.
    const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--force-color-profile=srgb']
    return new Browser(await chromium.launch({ executablePath, args, timeout: 60_000 }))
  }

  async open(url: string, look: Look = desk): Promise<BrowserPage> {
    // What moves all the time would take the cores from the nodes that are looked at.
    const context = await this.#chromium.newContext({
      viewport: sizeOf(look),
      colorScheme: schemeOf(look),
      reducedMotion: 'reduce',
    })
    const page = await context.newPage()
    // For a machine that has much else to do.
    page.setDefaultTimeout(60_000)
    const errors: string[] = []
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) errors.push(`${message.text()} ${message.location().url}`)
    })
    page.on('pageerror', (error) => errors.push(String(error)))
    await page.goto(url)
    return {
      page,
      errors,
      violations: (part = 'html') => violations(page, part),
      overflow: () => page.evaluate('document.documentElement.scrollWidth - innerWidth') as Promise<number>,
      async look(other) {
        await page.emulateMedia({ colorScheme: schemeOf(other) })
        await page.setViewportSize(sizeOf(other))
      },
      close: () => context.close(),
    }
  }

  close(): Promise<void> {
    return this.#chromium.close()
  }
}

const sizeOf = ({ width, height }: Look) => ({ width, height })
const schemeOf = ({ dark }: Look) => (dark ? 'dark' : 'light')

async function violations(page: Page, part: string): Promise<string[]> {
  // As the debugger sees it: the page's own policy lets no script in.
  await page.evaluate(await Bun.file(Bun.resolveSync('axe-core/axe.min.js', import.meta.dir)).text())
  const sentences = `({ violations }) => violations.flatMap(({ help, nodes }) => nodes.map(({ html }) => help + ': ' + html))`
  const found = (await page.evaluate(
    `axe.run('${part}', { resultTypes: ['violations'] }).then(${sentences})`,
  )) as string[]
  return found.map((sentence) => sentence.slice(0, 300))
}

const pictures = join(import.meta.dir, '..', '..', 'test-results', 'dashboard')

/** Keeps a picture of the whole page where somebody can look at it after the run. */
export async function picture({ page }: BrowserPage, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true })
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
}
