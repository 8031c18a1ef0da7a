import { describe, expect, test } from 'bun:test'
import { mountTable, ourMounts, topmostAt } from './table.ts'

const text = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:33 / /run/m.d/files ro,nosuid,nodev - fuse shoal ro,user_id=0
41 22 0:34 / /run/m.d/layers/ab ro - erofs /var/lib/m/ab/meta ro
42 22 0:35 / /srv/a\\040b ro,relatime - overlay shoal ro,lowerdir+=/run/m.d/layers/ab
43 22 0:36 / /srv/theirs rw - overlay overlay rw
44 22 0:37 / /srv/both rw - overlay shoal rw
45 22 0:38 / /srv/both rw - overlay overlay rw
46 22 0:39 / /srv/other rw - tmpfs shoal rw
`

describe('mounts of this host', () => {
  test('have the names that they have, spaces and all', () => {
    expect(mountTable(text).map(({ target }) => target)).toContain('/srv/a b')
  })

  test('are ours by place, or by the directory that was asked for; the latest first', () => {
    const ours = ourMounts(mountTable(text), '/run/m.d', new Set(['/srv/a b', '/', '/srv/none']))
    expect(ours.map(({ target }) => target)).toEqual(['/srv/a b', '/run/m.d/layers/ab', '/run/m.d/files'])
  })

  test('are not ours where somebody else has mounted at such a directory, over ours too', () => {
    const dirs = new Set(['/srv/theirs', '/srv/both', '/srv/other'])
    expect(ourMounts(mountTable(text), '/run/none', dirs)).toEqual([])
  })

  test('are seen at a directory where nothing lies over them', () => {
    const at = (dir: string) => topmostAt(mountTable(text), dir)?.id
    expect([at('/srv/a b'), at('/srv/both'), at('/srv/none')]).toEqual(['42', '45', undefined])
  })
})
