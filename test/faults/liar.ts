/**
 * A member that lies: the product as it is, with its identity, its key and every message, but for one thing. For tests;
 * started as the product is, in a folder where it notes its lies.
 *
 * usage: bun liar.ts WAY up [FLAG]...
 *   bytes    a byte is wrong in each piece that it sends to another node
 *   silent   the same, and it tells nobody what it holds to be the digests of pieces
 *   seed     it reads wrong bytes from the source, states the digests of those, and calls the blob whole
 */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RegistrySource } from '../../src/source/registry-source.ts'
import { DiskBlob } from '../../src/store/disk-blob.ts'
import { Seeder } from '../../src/swarm/seeding/seeder.ts'
import { SocketSession } from '../../src/wire/session.ts'

export type Way = 'bytes' | 'silent' | 'seed'

/** One line of JSON for each piece that a liar began to send. */
export interface Lie {
  /** Node id of who asked for it. */
  readonly to: string
  readonly digest: string
  readonly piece: number
}

export const liesFile = 'lies.jsonl'
/** Smaller blobs are manifests and the like, without which nobody would ask for the others. */
const smallBytes = 100_000

function spoil(bytes: Uint8Array): void {
  bytes[Math.floor(Math.random() * bytes.length)]! ^= 1 + Math.floor(Math.random() * 255)
}

function sendWrongBytes(): void {
  const folder = join(process.cwd(), 'lies')
  mkdirSync(folder, { recursive: true })
  const honest = Seeder.prototype.offer
  let count = 0
  Seeder.prototype.offer = async function (digest, wanted, peer, signal) {
    const offer = await honest.call(this, digest, wanted, peer, signal)
    const bytes = await Bun.file(offer.path).slice(offer.start, offer.end).bytes()
    spoil(bytes)
    // Pieces are sent from files, and who is told that one was sent may be told too early: it stays.
    const path = join(folder, String(count++))
    writeFileSync(path, bytes)
    const lie: Lie = { to: peer ?? '', digest, piece: offer.piece }
    appendFileSync(liesFile, `${JSON.stringify(lie)}\n`)
    return { ...offer, path, start: 0, end: bytes.length }
  }
}

function stateNothing(): void {
  const honest = SocketSession.prototype.send
  SocketSession.prototype.send = function (frame) {
    if (frame.t !== 'meta') honest.call(this, frame)
  }
}

function stateWrongDigests(): void {
  const honest = RegistrySource.prototype.open
  RegistrySource.prototype.open = async function (location, from, signal) {
    const answer = await honest.call(this, location, from, signal)
    if (answer.size < smallBytes) return answer
    const wrong = async function* () {
      for await (const chunk of answer.body) {
        const copy = new Uint8Array(chunk)
        spoil(copy)
        yield copy
      }
    }
    return { ...answer, body: wrong() }
  }
  DiskBlob.prototype.finish = async function () {
    this.complete = true
  }
}

if (import.meta.main) {
  const [way] = process.argv.splice(2, 1)
  if (way !== 'seed') sendWrongBytes()
  if (way === 'silent') stateNothing()
  if (way === 'seed') stateWrongDigests()
  await import('../../src/main.ts')
}
