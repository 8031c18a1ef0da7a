import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { notRoot } from '../../test/fakes/root.ts'
import { listenAsNobody, type Stranger } from '../../test/fakes/stranger.ts'
import { hostFacts, whyNot } from '../mount/kernel/support.ts'
import { run } from './program.ts'

const shown: (string | null)[] = []
let stranger: Stranger
let where: string

describe.skipIf(notRoot)('a user of this host who has the admin port of a node', () => {
  beforeEach(() => {
    shown.length = 0
    stranger = listenAsNobody(({ headers }) => {
      shown.push(headers.get('authorization'))
      return Response.json({ status: 'alive' })
    })
    where = `127.0.0.1:${stranger.port}`
  })
  afterEach(() => stranger.close())

  async function shoal(...args: string[]) {
    const context = new FakeContext()
    context.files = { '/t': 'correct-horse-battery\n' }
    const code = await run([...args, '--admin-addr', where], context)
    return { code, printed: context.printed.join('\n'), complained: context.complained.join('\n') }
  }

  test.each(['status', 'pin debian:13'])('is shown no token: %s', async (command) => {
    const { code, complained } = await shoal(...command.split(' '), '--token-file', '/t')
    expect([code, complained]).toEqual([1, expect.stringContaining('the token is not sent')])
    expect(complained).toContain(`what listens at ${where} is run by the user nobody`)
    expect(shown).toEqual([])
  })

  test('is asked what needs no token: a node may be run by any user', async () => {
    expect((await shoal('status')).complained).toContain('is no shoal node')
    expect(shown).not.toEqual([])
  })

  test('is named by the doctor, who shows no token either', async () => {
    const mirror = listenAsNobody()
    const registry = `127.0.0.1:${mirror.port}`
    const args = ['--registry-addr', registry, '--upstream', 'docker.io=http://127.0.0.1:1', '--data-dir', '/nowhere']
    const { code, printed } = await shoal('doctor', ...args, '--token-file', '/t')
    mirror.close()
    expect(code).toBe(1)
    expect(printed).toContain(`${where} (--admin-addr) is held by the user nobody`)
    expect(printed).toContain(`${registry} (--registry-addr) is held by the user nobody`)
    expect(printed).toContain('the token is not sent')
    expect(printed).not.toContain('no node runs')
    expect(shown.filter((each) => each !== null)).toEqual([])
  })

  test.skipIf(whyNot(hostFacts()) !== undefined)('is not asked where an image to be mounted comes from', async () => {
    const { code, complained } = await shoal('mount', 'debian:13', '/nowhere')
    expect([code, complained]).toEqual([1, expect.stringContaining('is run by the user nobody')])
    expect(shown).toEqual([])
  })
})
