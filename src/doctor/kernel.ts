/** What this kernel can. Nothing of it is needed to pull, so it is only told. Pure. */
import { type Finding, findingsOf } from './finding.ts'

export type Support = 'yes' | 'as a module' | 'no'

export interface KernelFacts {
  readonly release: string
  readonly overlay: Support
  readonly fuse: Support
  readonly erofs: Support
  /** `/dev/fuse` is there. */
  readonly fuseDevice: boolean
}

const { note } = findingsOf('kernel')

export function judgeKernel({ release, overlay, fuse, erofs, fuseDevice }: KernelFacts): Finding[] {
  const device = fuse === 'no' || fuseDevice ? '' : ', without /dev/fuse'
  return [
    note(`Linux ${release}: overlay ${overlay}, FUSE ${fuse}${device}, EROFS ${erofs}; a node needs none of them`),
  ]
}

/** From `/proc/filesystems` and the lists of modules that could be loaded. */
export function supportOf(name: string, filesystems: string, modules: string): Support {
  if (new RegExp(`^(nodev)?\\s+${name}$`, 'm').test(filesystems)) return 'yes'
  return new RegExp(`(^|/)${name}\\.ko`, 'm').test(modules) ? 'as a module' : 'no'
}
