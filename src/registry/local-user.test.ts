import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Ends, localUser, ownerIn } from './local-user.ts'

const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const row = (client: string, node: string, uid: number, inode: number) =>
  `   3: ${client} ${node} 01 00000000:00000000 00:00000000 00000000  ${uid}        0 ${inode} 1 0000000038d4f642 20 4 30 10 -1\n`
const ends: Ends = { remoteAddress: '127.0.0.1', remotePort: 58392, localAddress: '127.0.0.1', localPort: 4880 }
const [client, node] = ['0100007F:E418', '0100007F:1310']

describe("the owner of the client's socket", () => {
  test('is read from the row that has the client first', () => {
    expect(ownerIn(head + row(node, client, 0, 7) + row(client, node, 1000, 8), ends)).toBe(1000)
    expect(ownerIn(head + row(node, client, 0, 7), ends)).toBeUndefined()
    expect(ownerIn('', ends)).toBeUndefined()
  })

  test('is nobody when the process has closed it: the list says root then', () => {
    expect(ownerIn(head + row(client, node, 0, 0), ends)).toBeUndefined()
  })

  test('is nobody of this host when it only looks alike', () => {
    expect(ownerIn(head + row('0200007F:E418', node, 0, 8), ends)).toBeUndefined()
    expect(ownerIn(head + row(client, '0100007F:1311', 0, 8), ends)).toBeUndefined()
    expect(ownerIn(head + row(client, node, 0, 8), { ...ends, remotePort: 58393 })).toBeUndefined()
  })

  test('is found whichever way either side writes an IPv4 address', () => {
    const mapped = '0000000000000000FFFF00000100007F'
    const table = head + row(`${mapped}:E418`, `${mapped}:1310`, 5, 8)
    expect(ownerIn(table, ends)).toBe(5)
    const written = { ...ends, remoteAddress: '::ffff:127.0.0.1', localAddress: '::ffff:127.0.0.1' }
    expect(ownerIn(head + row(client, node, 5, 8), written)).toBe(5)
  })

  test('is found by IPv6 addresses', () => {
    const one = '00000000000000000000000001000000'
    const lan = 'B80D0120000000000000000001000000'
    const table = head + row(`${one}:E418`, `${lan}:1310`, 6, 8)
    expect(ownerIn(table, { ...ends, remoteAddress: '::1', localAddress: '2001:db8::1' })).toBe(6)
    expect(ownerIn(table, { ...ends, remoteAddress: '2001:db8:0:0:0:0:0:1', localAddress: '::1' })).toBeUndefined()
    expect(ownerIn(table, { ...ends, remoteAddress: 'not an address', localAddress: '::1' })).toBeUndefined()
  })
})

/** Listens there. @throws where there is no such address: a host may have no IPv6 */
async function listening(address: string): Promise<Server> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve))
  return server
}

async function obstacleTo(address: string): Promise<string | undefined> {
  try {
    ;(await listening(address)).close()
  } catch (error) {
    return String(error)
  }
}

const addresses = ['127.0.0.1', '::1']
const obstacles = await Promise.all(addresses.map(obstacleTo))
for (const [i, why] of obstacles.entries()) if (why) console.log(`skipped: a connection over ${addresses[i]}: ${why}`)

describe.each(addresses.filter((_, i) => obstacles[i] === undefined))('a connection over %s', (address) => {
  let server: Server
  let accepted: Promise<Socket>
  let own: Socket
  beforeAll(async () => {
    server = await listening(address)
    accepted = new Promise((resolve) => server.once('connection', resolve))
    const { port } = server.address() as { port: number }
    own = connect(port, address)
    await accepted
  })
  afterAll(async () => {
    own.destroy()
    ;(await accepted).destroy()
    server.close()
  })

  test('is owned by the user of the process that made it', async () => {
    const { remoteAddress, remotePort, localAddress, localPort } = await accepted
    const ends = {
      remoteAddress: remoteAddress!,
      remotePort: remotePort!,
      localAddress: localAddress!,
      localPort: localPort!,
    }
    expect(await localUser(ends)).toBe(process.getuid!())
    expect(await localUser({ ...ends, remotePort: ends.localPort })).toBeUndefined()
  })
})
