/** The wall clock of a node jumps while it serves: libfaketime, whose offset is read from a file, stands in for it. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { builtBinary } from '../lab/node.ts'
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene } from './fault.ts'
import { Stage } from './stage.ts'

const libraries = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)

/** Runs the first node under the library; the others have the machine's clock. */
function shifted(offset: string): (place: number, dir: string) => string {
  return (place, dir) => {
    if (place > 0) return builtBinary
    const path = join(dir, 'shifted')
    const library = libraries.find((name) => existsSync(name)) ?? ''
    const environment = [
      `LD_PRELOAD='${library}'`,
      `FAKETIME_TIMESTAMP_FILE='${offset}'`,
      // A jump is seen at once. Monotonic clocks do not jump, on real machines either.
      'FAKETIME_NO_CACHE=1',
      'FAKETIME_DONT_FAKE_MONOTONIC=1',
    ]
    mkdirSync(dir, { recursive: true })
    writeFileSync(path, `#!/bin/sh\n${environment.join(' ')} exec '${builtBinary}' "$@"\n`)
    chmodSync(path, 0o755)
    return path
  }
}

/** The newest time that a node's log has, as `Date` has it. */
function logged(stage: Stage): number {
  const times = [
    ...stage
      .node(0)
      .process.logged()
      .matchAll(/"time":"([^"]+)"/g),
  ].map(([, time]) => Date.parse(time!))
  return times.at(-1) ?? Number.NaN
}

function jump(name: string, days: number): Fault {
  return {
    name,
    family: 'clock',
    outcome: 'pulls before, during and after the jump work, nobody is banned or forgotten',
    quick: true,
    boundSeconds: 240,
    obstacle: async () =>
      libraries.some((library) => existsSync(library)) ? undefined : 'libfaketime is not installed',
    round: async (scene: Scene) => {
      const offset = join(scene.dir, 'offset')
      writeFileSync(offset, '+0d')
      const stage = await Stage.open(scene, { binary: shifted(offset), flags: ['--log-level', 'debug'] })
      stage.deviate({ rate: 6e6, path: '/blobs/' })
      const pulling = stage.pullAll(60)
      await until('the registry sends blobs', 30, () => stage.registry.sentBytes() > 100_000, 10)
      await Bun.sleep(scene.random() * 500)
      const at = Date.now()
      writeFileSync(offset, `${days > 0 ? '+' : ''}${days}d`)
      for (const end of await pulling) must(end.worked, `a pull failed: ${end.worked ? '' : end.said}`)
      await stage.recovers()
      const moved = (logged(stage) - at) / 86_400_000
      must(Math.abs(moved - days) < 1, `the clock of the node did not jump: it is off by ${moved} days`)
      // Tickets, beats and beliefs have times in them: one more image, through both, and they know each other still.
      stage.publish('v2', 2)
      for (const place of [0, 1]) {
        const end = await stage.pull(place, 60, 'v2')
        must(end.worked, `a pull after the jump failed: ${end.worked ? '' : end.said}`)
      }
      await stage.acquainted()
      await stage.nobodyBanned()
      await stage.audit()
      return `${days} days in the middle of a pull`
    },
  }
}

export const clockFaults: readonly Fault[] = [
  jump('clock jumps a month ahead', 30),
  jump('clock jumps a month back', -30),
]
