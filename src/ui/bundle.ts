/**
 * The page as the browser gets it: one script, one style sheet. Called as a macro, that is when the binary is built (or
 * this source is read by a test), so that a running node has nothing to build and needs no file beside it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const page = join(import.meta.dir, 'page')

/** @throws with what the bundler said */
export function bundlePage(): { html: string; script: string; style: string; icon: string } {
  const text = (name: string) => readFileSync(join(page, name), 'utf8')
  return { html: text('index.html'), script: build('main.tsx'), style: build('style.css'), icon: text('icon.svg') }
}

/** A process of its own: the bundler cannot be called while it waits for this macro. */
function build(entry: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [process.execPath, 'build', join(page, entry), '--minify', '--target=browser', '--format=esm'],
    { env: { ...process.env, NODE_ENV: 'production' } },
  )
  if (exitCode === 0) return stdout.toString()
  throw new Error(`the dashboard's ${entry} cannot be bundled: ${stderr.toString().trim()}`)
}
