/** A release of one platform, as `scripts/release` makes it, in the hands of those who get it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { scratchRoot } from '../lab/lab.ts'
import { type Output, run, tryRun } from '../lab/run.ts'

const root = join(import.meta.dir, '..', '..')
const target = `linux-${process.arch}`
const programs = ['apt-get', 'git', 'openssl', 'skopeo', 'podman']
const missing = programs.filter((program) => !Bun.which(program)).join(', ')
const obstacle = process.getuid?.() !== 0 ? 'not root' : missing
if (obstacle) console.log(`skipped: releases: ${obstacle}`)

let dir: string
let made: Output
const file = (name: string) => join(dir, 'release', name)

describe.skipIf(obstacle !== '')('a release', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-release-'))
    await run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', join(dir, 'key')])
    await run(['openssl', 'pkey', '-in', join(dir, 'key'), '-pubout', '-out', join(dir, 'public')])
    const flags = ['--output', join(dir, 'release'), '--target', target, '--sign', join(dir, 'key'), '--twice']
    made = await tryRun([join(root, 'scripts', 'release'), ...flags])
    // What differs the second time is for its own test to say.
    if (!existsSync(file('SHA256SUMS.sig'))) throw new Error(made.stderr)
  }, 600_000)
  afterAll(() => {
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  const read = (name: string) => readFileSync(file(name), 'utf8')

  test('is the same when it is made again', () => {
    const { code, stdout } = made
    const files = read('SHA256SUMS').trim().split('\n').length
    expect({ code, said: stdout.trim().split('\n').at(-1) }).toEqual({
      code: 0,
      said: `made again, all ${files} files are the same`,
    })
  })

  test('says what is in it, truly, and who says so', async () => {
    const { stdout } = await tryRun(['sh', '-c', `cd ${join(dir, 'release')} && sha256sum --check --strict SHA256SUMS`])
    const checked = [...stdout.matchAll(/^(.*): OK$/gm)].map(([, name]) => name!)
    const sums = ['SHA256SUMS', 'SHA256SUMS.sig']
    expect([...checked, ...sums].sort()).toEqual(readdirSync(join(dir, 'release')).sort())
    expect(checked).toContain(`shoal-${target}`)
    const verify = ['openssl', 'pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', join(dir, 'public')]
    const signed = await tryRun([...verify, '-in', file('SHA256SUMS'), '-sigfile', file('SHA256SUMS.sig')])
    expect(signed.stdout).toContain('Signature Verified Successfully')
  })

  test('is of the commit, without what lies about in the work tree', async () => {
    const commit = (await run(['git', '-C', root, 'rev-parse', '--short=12', 'HEAD'])).trim()
    expect(await run([file(`shoal-${target}`), 'version'])).toContain(`commit ${commit},`)
  })

  test('names every package in the binary, and the C library of the image', () => {
    const bill = JSON.parse(read('shoal.cdx.json')) as { components: { name: string; licenses?: unknown[] }[] }
    const names = bill.components.map(({ name }) => name)
    for (const name of ['hono', 'libp2p', 'bun', 'libc6', `shoal-${target}`]) expect(names).toContain(name)
    for (const name of ['typescript', 'biome']) expect(names).not.toContain(name)
  })

  test('has a container image that skopeo reads and podman runs', async () => {
    const image = `oci-archive:${file('shoal-image.tar')}`
    const { Os, Labels } = JSON.parse(await run(['skopeo', 'inspect', image]))
    expect([Os, Labels['org.opencontainers.image.title']]).toEqual(['linux', 'shoal'])
    const store = join(dir, 'podman')
    mkdirSync(store)
    const folders = ['--root', join(store, 'root'), '--runroot', join(store, 'run'), '--tmpdir', join(store, 'tmp')]
    const podman = ['podman', ...folders, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs']
    expect(await run([...podman, 'load', '--input', file('shoal-image.tar')])).toMatch(/localhost\/shoal:\d/)
    const [id] = (await run([...podman, 'images', '--quiet'])).split('\n')
    // As the manifests for Kubernetes have it: a file system that is read-only, and no capability.
    const confined = [
      '--read-only',
      '--cap-drop',
      'all',
      '--user',
      '65532:65532',
      '--security-opt',
      'no-new-privileges',
    ]
    const here = ['--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
    const said = await run([...podman, 'run', ...here, ...confined, id!, 'version'])
    expect(said).toBe(await run([file(`shoal-${target}`), 'version']))
  }, 120_000)
})
