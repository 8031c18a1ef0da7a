/**
 * Without network namespaces: nodes on loopback addresses, which limit themselves to the rate and are told whom to join.
 * Loopback has no links, so there is nothing to compare a plain pull on.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { bitsPerSecond } from '../../test/lab/host.ts'
import { pushImage, writeImage } from '../../test/lab/image.ts'
import { scratchRoot } from '../../test/lab/lab.ts'
import { LabNode } from '../../test/lab/node.ts'
import { pullHere } from '../../test/lab/pull.ts'
import { realLayers } from '../../test/lab/real-layers.ts'
import { LabRegistry } from '../../test/lab/registry.ts'
import { repository, type Stage, type StageInit, tag, upstream } from './stage.ts'

export async function loopbackStage(init: StageInit, say: (text: string) => void): Promise<Stage> {
  const dir = mkdtempSync(join(scratchRoot, 'shoal-demo-'))
  let nodes: LabNode[] = []
  let registry: LabRegistry | undefined
  const killAll = () => {
    for (const process of [registry?.process, ...nodes.map((node) => node.process)]) process?.signal('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
  process.on('exit', killAll)
  registry = await LabRegistry.start({ dir: join(dir, 'registry') })
  const { url, hostPort } = registry
  const accesses = registry.accesses.bind(registry)
  say('Making the image ...')
  const { layers, origin } = await realLayers(init.size)
  say(`  ${layers.length} layers from ${origin === 'packages' ? 'Debian packages' : "this machine's folders"}`)
  const image = writeImage(join(dir, 'layout'), tag, { layers })
  await pushImage(image, hostPort, repository, tag)

  const addresses = Array.from({ length: init.hosts }, (_, i) => `127.0.0.${i + 11}`)
  const rate = `${bitsPerSecond(init.rate)}bit/s`
  const flags = [
    ...['--no-mdns', '--join', `${addresses[0]}:14882`, '--upstream', `${upstream}=${url}`],
    ...['--download-rate', rate, '--upload-rate', rate, '--source-rate', rate],
  ]
  return {
    image,
    places: addresses,
    async startNodes() {
      nodes = addresses.map((address) => new LabNode({ address, dir: join(dir, address), flags }))
      return Promise.all(nodes.map((node) => node.ready()))
    },
    pull: (place) => pullHere(nodes[place]!.mirror, `${upstream}/${repository}`, tag),
    registrySent: async () => accesses().reduce((sum, access) => sum + access.bytes, 0),
    async close() {
      await Promise.all(nodes.map((node) => node.process.stop()))
      await registry?.stop()
      killAll()
      process.off('exit', killAll)
    },
  }
}
