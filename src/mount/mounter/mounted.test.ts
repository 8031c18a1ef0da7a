import { expect, test } from 'bun:test'
import { mountTable } from '../kernel/table.ts'
import { imagesMounted } from './mounted.ts'

// As Linux 6.18 has them.
const text = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:33 / /run/shoal-mounter/mounter.d/files ro,nosuid,nodev - fuse shoal ro,user_id=0
41 22 0:34 / /run/shoal-mounter/mounter.d/layers/ab ro - erofs /var/lib/shoal-mounter/layers/ab/meta ro
42 22 0:35 / /srv/a\\040b ro - overlay shoal ro,lowerdir+=/run/shoal-mounter/mounter.d/layers/ab,lowerdir+=/run/shoal-mounter/mounter.d/empty
43 22 0:36 / /srv/c rw - overlay shoal rw,lowerdir+=/run/m.d/empty,upperdir=/var/lib/shoal-mounter/writable/x/upper,uuid=on
44 22 0:37 / /srv/another-mounter ro - overlay shoal ro,lowerdir+=/run/m.d/empty
45 22 0:38 / /run/containerd/x/rootfs rw - overlay overlay rw,lowerdir=/run/shoal-mounter/mounter.d/layers/ab
`

test('images that were mounted are found where they are; not those of other mounters, and no containers', () => {
  expect(imagesMounted(mountTable(text))).toEqual(['/srv/a b', '/srv/c'])
})
