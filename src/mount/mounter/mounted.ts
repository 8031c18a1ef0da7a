/** Where images are mounted through the mounter of this host, by hand or by a unit. Pure. */
import { dirname } from 'node:path'
import { ourSource } from '../kernel/overlay.ts'
import type { MountEntry } from '../kernel/table.ts'
import { usualDataDir, usualSocket } from './api.ts'
import { placesOf } from './places.ts'

const folders = [dirname(placesOf(usualSocket, usualDataDir).lock), usualDataDir]

/** What containerd mounts of its layers has another source, and mounters with folders of their own have other folders. */
export function imagesMounted(table: readonly MountEntry[]): string[] {
  const ours = ({ options }: MountEntry) =>
    folders.some((folder) => options.split(',').some((option) => option.split('=')[1]?.startsWith(`${folder}/`)))
  const found = table.filter((entry) => entry.type === 'overlay' && entry.source === ourSource && ours(entry))
  return [...new Set(found.map(({ target }) => target))]
}
