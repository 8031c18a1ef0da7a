/**
 * Somebody on the same network who listens to multicast DNS, which is said to everyone there, and asks for what is told
 * to who asks.
 *
 * usage: bun eavesdrop.ts ADDRESS SECONDS; prints one line of JSON, an array of {@link Overheard}.
 */
import multicastDns from 'multicast-dns'

export interface Overheard {
  /** Of a service or of a node of it. */
  readonly name: string
  readonly type: string
  readonly data: string
}

/** @param address of the interface to listen on */
export async function eavesdrop(address: string, seconds: number): Promise<Overheard[]> {
  const mdns = multicastDns({ interface: address, bind: '0.0.0.0' })
  const heard = new Map<string, Overheard>()
  const asked = new Set<string>()
  const note = (name: string, type: string, data: string) => heard.set(`${name} ${type} ${data}`, { name, type, data })
  mdns.on('query', ({ questions = [] }) => {
    for (const { name, type } of questions) {
      note(name, type, '(asked for)')
      // What members ask each other for, anybody may ask for.
      if (asked.has(name)) continue
      asked.add(name)
      mdns.query([{ name, type }])
    }
  })
  mdns.on('response', ({ answers = [], additionals = [] }) => {
    for (const record of [...answers, ...additionals]) {
      const data = 'data' in record ? record.data : ''
      note(record.name, record.type, record.type === 'TXT' ? [data].flat().map(String).join(' ') : JSON.stringify(data))
    }
  })
  await Bun.sleep(seconds * 1000)
  mdns.destroy()
  return [...heard.values()]
}

if (import.meta.main) {
  const [address = '', seconds = ''] = process.argv.slice(2)
  console.log(JSON.stringify(await eavesdrop(address, Number(seconds))))
}
