import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { type KernelFacts, supportOf } from '../kernel.ts'

export function lookAtKernel(): KernelFacts {
  const filesystems = textOf('/proc/filesystems')
  const folder = `/lib/modules/${release()}`
  const modules = textOf(`${folder}/modules.builtin`) + textOf(`${folder}/modules.dep`)
  const support = (name: string) => supportOf(name, filesystems, modules)
  return {
    release: release(),
    overlay: support('overlay'),
    fuse: support('fuse'),
    erofs: support('erofs'),
    fuseDevice: existsSync('/dev/fuse'),
  }
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
