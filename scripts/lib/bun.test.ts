import { expect, test } from 'bun:test'
import { userInfo } from 'node:os'
import { join } from 'node:path'

const home = userInfo().homedir

test.each([
  ['what the user says', { XDG_CACHE_HOME: '/cache', HOME: '/home/me' }, '/cache/shoal'],
  ["the user's home", { HOME: '/home/me' }, '/home/me/.cache/shoal'],
  ['the home that the host knows, without HOME,', {}, `${home}/.cache/shoal`],
  ['the home that the host knows, where HOME is empty,', { HOME: '' }, `${home}/.cache/shoal`],
])('what is brought once lies below %s', (_, env, folder) => {
  const script = `set -euo pipefail; source ${join(import.meta.dir, 'bun.sh')}; user_cache`
  const { stdout, stderr } = Bun.spawnSync(['bash', '-c', script], { env: { PATH: process.env.PATH, ...env } })
  expect([stdout.toString(), stderr.toString()]).toEqual([`${folder}\n`, ''])
})
