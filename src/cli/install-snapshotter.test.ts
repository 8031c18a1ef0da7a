import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { containerdFor, containerdWithout } from './install-snapshotter.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-install-snapshotter-'))
  mkdirSync(dirname(config()), { recursive: true })
  writeFileSync(config(), original)
})
afterEach(() => rmSync(root, { recursive: true }))

const config = () => join(root, 'etc/containerd/config.toml')
const got = () => readFileSync(config(), 'utf8')
const original = `version = 3

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "zfs" # the pool
`

test('what was there before the first of two runs comes back, and with it what somebody wrote between them', () => {
  containerdFor(root).write()
  expect(got()).toContain('snapshotter = "shoal" # the pool')
  const [address] = /^ *address = .*\n/m.exec(got())!
  writeFileSync(config(), `# mine\n${got().replace(address, '')}`)
  containerdFor(root).write()
  expect(got()).toContain(address)
  containerdWithout(root).write()
  expect(got().trimEnd()).toBe(`# mine\n${original}`.trimEnd())
  expect(existsSync(join(root, 'etc/shoal'))).toBe(false)
})

test('what is there of an installation whose record is gone is nothing that comes back', () => {
  containerdFor(root).write()
  rmSync(join(root, 'etc/shoal'), { recursive: true })
  writeFileSync(config(), got().replace(/^ *address = .*\n/m, ''))
  containerdFor(root).write()
  containerdWithout(root).write()
  expect(got()).not.toContain('shoal')
})
