import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../../test/fakes/swarm-network.ts'
import { Failure, type FailureCode } from '../../failure.ts'
import { digestOf } from '../../oci/digest.ts'
import { repositoryOf } from '../../oci/reference.ts'
import type { Location } from '../../source/source.ts'
import { Places } from './places.ts'

const digest = digestOf(new Uint8Array(3))
const place = (name: string, kind: Location['kind'] = 'blob'): Location => ({
  repository: repositoryOf('registry.test', name),
  kind,
  digest,
})

describe('places', () => {
  test('are tried in the order in which they were named, each once', () => {
    const places = new Places(place('one'))
    expect([places.add(place('two')), places.add(place('two')), places.add(place('three'))]).toEqual([
      true,
      false,
      true,
    ])
    const tried = [places.current]
    while (places.failed(places.current)) tried.push(places.current)
    expect(tried).toEqual([place('one'), place('two'), place('three')])
  })

  test('that are named when all others have failed are next', () => {
    const places = new Places(place('one'))
    places.add(place('two'))
    places.failed(places.current)
    places.failed(places.current)
    expect(places.add(place('one', 'manifest'))).toBe(true)
    expect(places.current).toEqual(place('one', 'manifest'))
  })

  test('are taken in turn by who tries again', () => {
    const places = new Places(place('one'))
    places.add(place('two'))
    const tried = Array.from({ length: 4 }, () => {
      const { current } = places
      places.failed(current)
      return current.repository.name
    })
    expect(tried).toEqual(['one', 'two', 'one', 'two'])
  })

  test('are not as many as somebody likes', () => {
    const places = new Places(place('one'))
    const added = Array.from({ length: 100 }, (_, i) => places.add(place(`more${i}`)))
    expect(added.filter(Boolean)).toHaveLength(15)
  })
})

describe('a blob that two clients ask for by different names', () => {
  let network: SwarmNetwork
  let blob: ReturnType<SwarmNetwork['blob']>
  beforeEach(() => {
    network = new SwarmNetwork({ nodes: 3, options: (index) => ({ modes: index === 0 ? ['scheduler'] : ['peer'] }) })
    blob = network.blob(20)
  })
  afterEach(() => network.close())

  const other = repositoryOf('mirror.test', 'org/copy')
  /** Every node's source gives the blob in that one repository alone. */
  function onlyIn(name: string, code: FailureCode): void {
    for (const { source } of network.nodes) {
      source.refuses = ({ repository }) => {
        return repository.name === name ? undefined : new Failure(code, `not in ${repository.name}`)
      }
    }
  }

  test.each(['denied', 'no-blob', 'no-name', 'unavailable', 'corrupt'] as const)(
    'comes by the one that works where the other is %s, and both have it',
    async (code) => {
      onlyIn('org/copy', code)
      const node = network.nodes[1]!
      const readers = [node.reader(blob.location), node.reader({ ...blob.location, repository: other })]
      expect(await network.until(() => readers.every(({ over }) => over))).toBe(true)
      for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
      expect(node.source.sent).toBe(blob.bytes.length)
    },
  )

  test('goes on by the other where the one is gone when half of it is here', async () => {
    const node = network.nodes[1]!
    node.source.gate = () => {
      if (node.source.sent > blob.bytes.length / 2) {
        onlyIn('org/copy', 'no-name')
        node.source.gate = () => {}
        throw new Failure('no-name', 'it is gone')
      }
    }
    const readers = [node.reader(blob.location), node.reader({ ...blob.location, repository: other })]
    expect(await network.until(() => readers.every(({ over }) => over))).toBe(true)
    for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
    expect(node.source.sent).toBeLessThan(1.1 * blob.bytes.length)
  })

  test('comes to another node too, which asked by the one that does not', async () => {
    onlyIn('org/copy', 'denied')
    const [, one, two] = network.nodes
    const readers = [one!.reader(blob.location), one!.reader({ ...blob.location, repository: other })]
    readers.push(two!.reader(blob.location))
    expect(await network.until(() => readers.every(({ over }) => over))).toBe(true)
    for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  })

  test('is not to be had when none of the names works, and who asks learns why', async () => {
    onlyIn('nowhere', 'denied')
    const node = network.nodes[1]!
    const readers = [node.reader(blob.location), node.reader({ ...blob.location, repository: other })]
    expect(await network.until(() => readers.every(({ over }) => over))).toBe(true)
    for (const { outcome } of readers) expect(Failure.from(outcome)).toMatchObject({ code: 'denied' })
  })

  test('is not to be had when one name gives other bytes and the other none, and who asks learns of the other bytes', async () => {
    const node = network.nodes[1]!
    node.source.refuses = ({ repository }) =>
      new Failure(repository === other ? 'no-blob' : 'corrupt', `not in ${repository.name}`)
    const readers = [node.reader(blob.location), node.reader({ ...blob.location, repository: other })]
    expect(await network.until(() => readers.every(({ over }) => over))).toBe(true)
    for (const { outcome } of readers) expect(Failure.from(outcome)).toMatchObject({ code: 'corrupt' })
  })
})
