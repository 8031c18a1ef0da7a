import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { mountTable } from '../../src/mount/kernel/table.ts'
import { lazyObstacle } from './mount-lab.ts'

const module = join(import.meta.dir, 'mount-lab.ts')

test.skipIf(lazyObstacle('a lab of mounts that is interrupted') !== undefined)(
  'a lab of mounts that is interrupted leaves no mount and no folder',
  async () => {
    const program = `
      const { MountLab } = await import('${module}')
      const lab = await MountLab.start()
      await lab.mount(await lab.image('team/app', [[{ name: 'a', data: 'x' }]]), lab.folder('at'))
      console.log(lab.dir)
      await Bun.sleep(60_000)`
    const child = Bun.spawn([process.execPath, '-e', program], { stdout: 'pipe', stderr: 'inherit' })
    const { value } = await child.stdout.getReader().read()
    const dir = new TextDecoder().decode(value).trim()
    const mounts = () => mountTable().filter(({ target }) => target.startsWith(dir))
    expect(dir).toContain('mounts-')
    expect(mounts()).not.toEqual([])
    child.kill('SIGTERM')
    expect(await child.exited).toBe(143)
    expect(mounts()).toEqual([])
    expect(existsSync(dir)).toBe(false)
  },
  60_000,
)
