/** Where images are mounted through the mounter of this host, by hand or by a unit. Pure. */
import { dirname } from 'node:path'
import { isOurRoot, type MountEntry } from '../kernel/table.ts'
import { usualDataDir, usualSocket } from './api.ts'
import { type Places, placesOf } from './places.ts'

const usual = placesOf(usualSocket, usualDataDir)

/** What containerd mounts of its layers has another source, and mounters with folders of their own have other folders. */
export function imagesMounted(table: readonly MountEntry[], places: Places = usual): string[] {
  const folders = [dirname(places.layers), dirname(places.state)]
  const ours = ({ options }: MountEntry) =>
    folders.some((folder) => options.split(',').some((option) => option.split('=')[1]?.startsWith(`${folder}/`)))
  const found = table.filter((entry) => isOurRoot(entry) && ours(entry))
  return [...new Set(found.map(({ target }) => target))]
}
