/** What containerd is to mount for a snapshot. Pure. */
import type { Kind, Mount } from './snapshot.ts'

export interface Mounted {
  readonly kind: Kind
  /** Where its own files are, and where overlayfs may work. */
  readonly files: string
  readonly work: string
  /** Of those it stands on, the nearest first. */
  readonly parents: readonly string[]
}

/**
 * With nothing below there is nothing to lay over, and a view of one layer is that layer: both are bind mounts.
 * `index=off`: a layer is below many containers at once, which overlayfs' index of hard links does not allow.
 */
export function mountsOf({ kind, files, work, parents }: Mounted): Mount[] {
  if (parents.length === 0) return [bind(files, kind === 'view' ? 'ro' : 'rw')]
  if (kind === 'view' && parents.length === 1) return [bind(parents[0]!, 'ro')]
  const upper = kind === 'active' ? [`workdir=${work}`, `upperdir=${files}`] : []
  const options = [...upper, `lowerdir=${parents.join(':')}`, 'index=off']
  return [{ type: 'overlay', source: 'overlay', target: '', options }]
}

function bind(source: string, mode: 'ro' | 'rw'): Mount {
  return { type: 'bind', source, target: '', options: [mode, 'rbind'] }
}
