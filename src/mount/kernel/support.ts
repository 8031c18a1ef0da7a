/** Whether this host can mount lazily, and what to do where it cannot. */
import { existsSync } from 'node:fs'
import { release } from 'node:os'

export interface HostFacts {
  readonly platform: string
  readonly root: boolean
  /** `6.12.1-amd64` */
  readonly kernel: string
  /** /dev/fuse is there. */
  readonly fuse: boolean
}

export function hostFacts(): HostFacts {
  return {
    platform: process.platform,
    root: process.getuid?.() === 0,
    kernel: release(),
    fuse: existsSync('/dev/fuse'),
  }
}

/** EROFS is mounted from plain files, and from files of another file system, since then. */
const needed = { major: 6, minor: 12 } as const

/**
 * A sentence with the remedy; undefined where all is there. Modules that are not loaded yet show when they are used.
 * `instead`: what can be done on a host that stays as it is.
 */
export function whyNot(
  { platform, root, kernel, fuse }: HostFacts,
  instead = 'get the image whole: shoal get IMAGE',
): string | undefined {
  if (platform !== 'linux') return `lazy mounts need Linux; on ${platform} ${instead}`
  if (!root) return 'mounting needs root: run it with sudo'
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10))
  if (major < needed.major || (major === needed.major && minor < needed.minor)) {
    return (
      `lazy mounts need Linux ${needed.major}.${needed.minor} or newer (EROFS images that are mounted from files), ` +
      `and this is ${kernel}; upgrade the kernel, or ${instead}`
    )
  }
  if (!fuse) return 'there is no /dev/fuse: modprobe fuse; in a container, start it with --device /dev/fuse'
  return undefined
}

/** What to do when the kernel knows no file system of that type. */
export function missingType(type: string): string {
  return `this kernel has no ${type}: modprobe ${type}, or take a kernel with CONFIG_${configs[type] ?? type.toUpperCase()}`
}

const configs: Readonly<Record<string, string>> = {
  fuse: 'FUSE_FS',
  erofs: 'EROFS_FS and CONFIG_EROFS_FS_BACKED_BY_FILE',
  overlay: 'OVERLAY_FS',
}
