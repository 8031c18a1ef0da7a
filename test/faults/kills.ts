/** SIGKILL at a random moment of a pull: what is on the disk then, what the others do, and what it does after a restart. */
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene } from './fault.ts'
import { type End, Stage } from './stage.ts'

const pieceBytes = 256 * 1024
/** Asked for and not recorded yet, when it was killed; and what two sent at once. */
const againBytes = 16 * pieceBytes

async function killed(scene: Scene, victim: (stage: Stage) => number): Promise<string> {
  const stage = await Stage.open(scene, { nodes: 3, layers: [8_000_000, 2_000_000] })
  // Slow enough to be killed in the middle, also where the machine has other things to do.
  stage.deviate({ rate: 3e6, path: '/blobs/' })
  const place = victim(stage)
  const pulling = stage.nodes.map((_, at) => stage.pull(at, 90))
  // Their ends are looked at below.
  for (const pull of pulling) pull.catch(() => {})
  await Bun.sleep(scene.random() * 2800)
  await stage.node(place).process.kill()
  const found = stage.auditOf(place)

  const ends = await Promise.all(pulling)
  const others = ends.filter((_, at) => at !== place)
  for (const end of others) must(end.worked, `another host's pull failed: ${tell(end)}`)

  stage.registry.mend()
  await stage.launch(place).ready(60)
  const kept = await heldBy(stage, place)
  // The last piece of each layer is shorter.
  const claimed = (found.pieces - stage.layers.length) * pieceBytes
  must(kept >= claimed, `${found.pieces} pieces were on the disk, and ${kept} bytes are left after the restart`)
  const end = await stage.pull(place, 60)
  must(end.worked, `the pull after the restart failed: ${tell(end)}`)
  const node = stage.node(place)
  const fetched =
    (await node.metric('shoal_source_bytes_total')) + (await node.metric('shoal_peer_received_bytes_total'))
  const most = stage.size - kept + againBytes
  must(fetched <= most, `it had ${kept} of ${stage.size} bytes and fetched ${fetched} more`)
  await stage.audit()
  await stage.nobodyBanned()
  const { whole, partial, pieces } = found
  return `${whole} whole, ${partial} in part with ${pieces} pieces; kept ${kept}, fetched ${fetched} of ${stage.size} bytes`
}

function tell(end: End): string {
  return end.worked ? 'it worked' : end.said
}

async function heldBy(stage: Stage, place: number): Promise<number> {
  const { blobs } = JSON.parse(await stage.node(place).get('/api/v1/blobs')) as {
    blobs: { digest: string; bytes: number }[]
  }
  return blobs.filter(({ digest }) => stage.truth.has(digest)).reduce((sum, { bytes }) => sum + bytes, 0)
}

export const killFault: Fault = {
  name: 'a node is killed at a random moment',
  family: 'kill',
  outcome:
    'its database is sound and claims no byte that is not there, every other host finishes, and after a restart it fetches only what it lacked',
  quick: true,
  boundSeconds: 300,
  round: (scene) => killed(scene, () => Math.floor(scene.random() * 3)),
}

/** Killed again before it has told anybody that it is back. */
const restartFault: Fault = {
  name: 'a node is killed while it starts',
  family: 'kill',
  outcome: 'it starts the next time, with everything it had',
  quick: false,
  boundSeconds: 300,
  round: async (scene) => {
    const stage = await Stage.open(scene, { nodes: 1 })
    must((await stage.pull(0, 60)).worked, 'the first pull failed')
    // What came last is recorded a moment after it was served.
    await until('all of it is recorded', 10, async () => {
      const [found] = await stage.audit()
      return found!.partial === 0 && found!.whole > stage.layers.length
    })
    const had = await heldBy(stage, 0)
    for (let time = 0; time < 3; time++) {
      await stage.node(0).process.kill()
      stage.auditOf(0)
      stage.launch(0)
      await Bun.sleep(scene.random() * 400)
    }
    await stage.node(0).process.kill()
    await stage.launch(0).ready(60)
    const has = await heldBy(stage, 0)
    must(has === had, `it had ${had} bytes and has ${has}`)
    stage.deviate({ status: 503 })
    const end = await stage.pull(0, 60)
    must(end.worked, `what it has is not served: ${tell(end)}`)
    await stage.audit()
    return `${has} bytes after four kills`
  },
}

export const killFaults: readonly Fault[] = [killFault, restartFault]
