/**
 * Disks that are full, read-only, broken or wrong. The file systems are mounted in a namespace of the node's own, so
 * they are gone with it, whatever happens to the tests.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { builtBinary } from '../lab/node.ts'
import { run, tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene } from './fault.ts'
import { Stage } from './stage.ts'

const kind = { family: 'disk', quick: true, boundSeconds: 240 } as const

export async function noMounts(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'not root'
  const { code, stderr } = await tryRun(['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /mnt'])
  if (code !== 0) return `nothing can be mounted: ${stderr.trim()}`
}

async function noLoop(): Promise<string | undefined> {
  for (const program of ['losetup', 'mkfs.ext4']) if (!Bun.which(program)) return `${program} is not installed`
  return (await noMounts()) ?? (existsSync('/dev/loop-control') ? undefined : 'there are no loop devices')
}

/** A script that mounts something at the data directory of the first node, and runs the binary on it. */
export function mounting(commands: string): (place: number, dir: string) => string {
  return (place, dir) => {
    if (place > 0) return builtBinary
    const path = join(dir, 'mounted')
    mkdirSync(join(dir, 'data'), { recursive: true })
    const lines = ['#!/bin/sh', 'set -e', `cd '${dir}'`, commands, `exec '${builtBinary}' "$@"`]
    const inner = `${path}.inner`
    writeFileSync(inner, lines.join('\n'))
    writeFileSync(path, `#!/bin/sh\nexec unshare --mount '${inner}' "$@"\n`)
    for (const file of [inner, path]) chmodSync(file, 0o755)
    return path
  }
}

/** Runs a command where the node's file systems are. */
function beside(stage: Stage, command: readonly string[]): Promise<string> {
  const pid = stage.node(0).process.pid
  return run(['nsenter', '--target', String(pid), '--mount', ...command])
}

/** The first node cannot keep what it fetches: its client is told why or served, the other node is not concerned. */
async function crippled(stage: Stage, reason: RegExp): Promise<string> {
  const [own, other] = await stage.pullAll(90)
  must(other!.worked, `the other node's pull failed: ${other!.worked ? '' : other!.said}`)
  must(stage.node(0).process.running, `the node ended: ${stage.node(0).process.logged().slice(-500)}`)
  if (own!.worked) return `its own client was served, after ${own!.pulled.seconds.toFixed(1)} s`
  const told = `${own!.said}\n${stage.node(0).process.logged()}`
  must(reason.test(told), `nobody says why: ${own!.said}`)
  return `its own client was refused after ${own!.seconds.toFixed(1)} s`
}

const fullDisk: Fault = {
  ...kind,
  name: 'disk is full',
  outcome: 'the node lives and says why it cannot help, others are not concerned, and with room again it works',
  obstacle: noMounts,
  round: async (scene) => {
    const stage = await Stage.open(scene, { binary: mounting('mount -t tmpfs -o size=24m none data') })
    await beside(stage, ['sh', '-c', `dd if=/dev/zero of='${stage.node(0).dataDir}/filler' bs=64k 2>/dev/null || true`])
    const remark = await crippled(stage, /space|full/i)
    await beside(stage, ['rm', `${stage.node(0).dataDir}/filler`])
    await stage.recovers(90)
    return remark
  },
}

const readOnlyDisk: Fault = {
  ...kind,
  name: 'disk turns read-only',
  outcome: 'the node lives and says why it cannot help, others are not concerned, and once it is writable it works',
  obstacle: noMounts,
  round: async (scene) => {
    const stage = await Stage.open(scene, { binary: mounting('mount -t tmpfs -o size=64m none data') })
    // What is open for writing keeps a file system from turning read-only by order; a second view of it may be so.
    const blobs = join(stage.node(0).dataDir, 'blobs')
    await beside(stage, ['mount', '--bind', blobs, blobs])
    await beside(stage, ['mount', '-o', 'remount,bind,ro', blobs])
    const remark = await crippled(stage, /read-only|EROFS/i)
    await beside(stage, ['umount', blobs])
    await stage.recovers(90)
    return remark
  },
}

const brokenDisk: Fault = {
  ...kind,
  name: 'disk loses what is written',
  outcome: 'no client gets a wrong byte, then or later, and others are not concerned',
  quick: false,
  obstacle: noLoop,
  round: async (scene) => {
    // A device of 64 MB on a file system that can hold 20: writes that reach it from the page cache fail.
    const commands = [
      'mkdir -p device',
      'mount -t tmpfs -o size=20m none device',
      'truncate -s 64m device/image',
      'mkfs.ext4 -q -F -O ^has_journal device/image',
      'mount -o loop,errors=continue device/image data',
    ]
    const layers = [18_000_000, 12_000_000]
    const stage = await Stage.open(scene, { layers, binary: mounting(commands.join('\n')) })
    const [own, other] = await stage.pullAll(120)
    must(other!.worked, `the other node's pull failed: ${other!.worked ? '' : other!.said}`)
    await beside(stage, ['sh', '-c', 'sync; echo 3 > /proc/sys/vm/drop_caches']).catch(() => '')
    // A pull checks every byte: it may be refused or break off, and never gives a wrong one.
    const again = await stage.pull(0, 120)
    const told = again.worked ? '' : again.said
    must(!/have digest/.test(told), `a client got wrong bytes: ${told}`)
    const lost = stage.node(0).process.logged().split('could not be brought to the disk').length - 1
    return `${own!.worked ? 'served' : 'refused'} at first, ${again.worked ? 'served' : 'refused'} when it was read again; ${lost} blobs could not be brought to the disk`
  },
}

/** Overwrites a part of the database, as a bad sector or a bad copy would. */
function damage(dataDir: string, scene: Scene): string {
  const path = join(dataDir, 'shoal.db')
  const { size } = statSync(path)
  const at = scene.random() < 0.5 ? 0 : Math.floor((scene.random() * size) / 2)
  const fd = openSync(path, 'r+')
  try {
    writeSync(fd, Buffer.alloc(Math.max(8192, size - at - 100), 0xa5), 0, undefined, at)
  } finally {
    closeSync(fd)
  }
  return `from byte ${at} of ${size}`
}

const corruptDatabase: Fault = {
  ...kind,
  name: 'database is corrupt',
  outcome: 'it is moved aside and made anew from the files that are whole blobs, which are served without the source',
  round: async (scene) => {
    const stage = await Stage.open(scene, { nodes: 1 })
    must((await stage.pull(0, 60)).worked, 'the first pull failed')
    await stage.node(0).process.stop()
    const where = damage(stage.node(0).dataDir, scene)
    await stage.launch(0).ready(60)
    const before = stage.registry.sentBytes()
    let said = ''
    await until('a pull works on the new database', 60, async () => {
      const end = await stage.pull(0, 60)
      said = end.worked ? '' : end.said
      return end.worked
    }).catch((error: Error) => {
      throw new Error(`${error.message}; the last said ${said}`)
    })
    const sent = stage.registry.sentBytes() - before
    must(sent === 0, `the registry had to send ${sent} bytes again`)
    await stage.audit()
    const aside = readdirSync(stage.node(0).dataDir).filter((name) => /^shoal\.db\..*/.test(name))
    return `damaged ${where}; kept aside: ${aside.join(', ') || 'nothing'}`
  },
}

export const diskFaults: readonly Fault[] = [fullDisk, readOnlyDisk, brokenDisk, corruptDatabase]
