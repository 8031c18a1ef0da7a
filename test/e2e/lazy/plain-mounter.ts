/**
 * A mounter as a process of its own, over layers that lie in a folder: `<diffId hex>/{meta,data}`. What a layer's bytes
 * cost is told by files in the folder: `held`: reads wait while it is there; `lost`: reads fail; `cold`: no bytes are
 * verified beforehand, so that each read comes through `read`; `opening`: layers are not opened while it is there;
 * `no-program`: there is none that it can become; `broken-program`: there is one that the kernel does not start;
 * `broken-state`: the one that it becomes finds a damaged file of what is mounted.
 *
 * usage: bun plain-mounter.ts SOCKET DATA_DIR LAYERS [IDLE_MS]
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../../src/clock.ts'
import { ChangeTimes } from '../../../src/fuse/libc.ts'
import { Children } from '../../../src/mount/kernel/child.ts'
import { keptFrom } from '../../../src/mount/mounter/exec.ts'
import { startMounter } from '../../../src/mount/mounter/mounter.ts'
import { placesOf } from '../../../src/mount/mounter/places.ts'
import type { LayerSpec, UnpackedLayer } from '../../../src/mount/unpacked-layer.ts'
import { hexOf } from '../../../src/oci/digest.ts'
import { createLog } from '../../../src/telemetry/pino.ts'

const [socket = '', dataDir = '', folder = '', idle = '0', deadline = '30000'] = process.argv.slice(2)
const block = 65536
const children = new Children()
const has = (name: string) => existsSync(join(folder, name))

async function open({ diffId }: LayerSpec): Promise<UnpackedLayer> {
  const base = join(folder, hexOf(diffId))
  const path = join(base, 'data')
  const fd = openSync(path, 'r')
  const { size } = fstatSync(fd)
  const bits = new SharedArrayBuffer(Math.ceil(size / block / 8))
  while (has('opening')) await Bun.sleep(20)
  if (!has('cold')) new Uint8Array(bits).fill(255)
  const ctime = new SharedArrayBuffer(8)
  new BigInt64Array(ctime)[0] = new ChangeTimes().of(fd)
  return {
    id: hexOf(diffId),
    size,
    metadataPath: join(base, 'meta'),
    path,
    readyMap: { block, bits, ctime },
    async read(offset, length, signal) {
      while (has('held')) {
        signal.throwIfAborted()
        await Bun.sleep(20)
      }
      if (has('lost')) throw new Error('the bytes are lost')
      const bytes = new Uint8Array(length)
      return bytes.subarray(0, readSync(fd, bytes, 0, length, offset))
    },
    whole: () => has('complete'),
    ready: () => !has('cold'),
    progress: () => ({
      size,
      here: size,
      fetched: 0,
      deduped: 0,
      disk: size,
      complete: has('complete'),
      indexed: true,
      errors: [],
    }),
    prefetch() {},
    close: async () => closeSync(fd),
    discard: async () => closeSync(fd),
  }
}

const mounter = await startMounter({
  places: placesOf(socket, dataDir),
  clock: systemClock,
  log: createLog({ level: 'info', format: 'json', color: false }),
  open,
  carry: children.carry,
  makeRoom: async () => false,
  kept: keptFrom(process.env),
  readDeadlineMs: Number(deadline),
  idleMs: Number(idle),
  settled: () => children.close(),
  async successor() {
    if (has('no-program')) throw new Error('there is no program')
    const command = [has('broken-program') ? '/nowhere/bun' : process.execPath, ...process.argv.slice(1)]
    if (!has('broken-state')) return command
    return ['/bin/sh', '-c', 'echo broken > "$0" && exec "$@"', placesOf(socket, dataDir).state, ...command]
  },
})
if (!mounter) {
  process.stderr.write('another mounter runs\n')
  process.exit(3)
}
process.on('SIGTERM', () => void mounter.close().then(() => process.exit(0)))
process.stderr.write(`ended: ${await mounter.ended}\n`)
await mounter.close()
process.exit(0)
