/** Hosts are network namespaces, links are shaped, nodes find each other by multicast DNS. Needs root. */
import { join } from 'node:path'
import { pushImage, writeImage } from '../../test/lab/image.ts'
import { Lab } from '../../test/lab/lab.ts'
import { LabNode } from '../../test/lab/node.ts'
import { pullOn } from '../../test/lab/pull.ts'
import { realLayers } from '../../test/lab/real-layers.ts'
import { LabRegistry } from '../../test/lab/registry.ts'
import { repository, type Stage, type StageInit, tag, upstream } from './stage.ts'

export async function labStage(init: StageInit, say: (text: string) => void): Promise<Stage> {
  say(`Setting up ${init.hosts} hosts and a registry, each on a link of ${init.rate} ...`)
  const names = Array.from({ length: init.hosts }, (_, i) => `host${i + 1}`)
  const lab = await Lab.create({ hosts: ['registry', ...names], rate: init.rate })
  try {
    const registryHost = lab.host('registry')
    const registry = await LabRegistry.start({ host: registryHost, dir: join(registryHost.dir, 'registry') })
    say('Making the image ...')
    const { layers, origin } = await realLayers(init.size)
    say(`  ${layers.length} layers from ${origin === 'packages' ? 'Debian packages' : "this machine's folders"}`)
    const image = writeImage(join(lab.dir, 'layout'), tag, { layers })
    await pushImage(image, '127.0.0.1:5000', repository, tag, { from: registryHost })
    const hosts = names.map((name) => lab.host(name))
    let nodes: LabNode[] = []
    return {
      image,
      places: names,
      plain: (place) => pullOn(hosts[place]!, registry.url, repository, tag),
      async startNodes() {
        nodes = hosts.map((host) => new LabNode({ host, flags: ['--upstream', `${upstream}=${registry.url}`] }))
        return Promise.all(nodes.map((node) => node.ready()))
      },
      pull: (place) => pullOn(hosts[place]!, nodes[place]!.mirror, `${upstream}/${repository}`, tag),
      registrySent: async () => (await registryHost.counters()).out,
      close: () => lab.close(),
    }
  } catch (error) {
    await lab.close()
    throw error
  }
}
