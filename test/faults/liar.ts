/**
 * A member that lies: the product as it is, with its identity, key and every message, but a byte is wrong in each piece
 * that it sends to another node. For tests; started as the product is, in a folder where it notes its lies.
 *
 * usage: bun liar.ts up [FLAG]...
 */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Seeder } from '../../src/swarm/seeder.ts'

/** One line of JSON for each piece that a liar began to send. */
export interface Lie {
  /** Node id of who asked for it. */
  readonly to: string
  readonly digest: string
  readonly piece: number
}

export const liesFile = 'lies.jsonl'

if (import.meta.main) {
  const folder = join(process.cwd(), 'lies')
  mkdirSync(folder, { recursive: true })
  const honest = Seeder.prototype.offer
  let count = 0
  Seeder.prototype.offer = async function (digest, wanted, peer, signal) {
    const offer = await honest.call(this, digest, wanted, peer, signal)
    const bytes = await Bun.file(offer.path).slice(offer.start, offer.end).bytes()
    bytes[Math.floor(Math.random() * bytes.length)]! ^= 1 + Math.floor(Math.random() * 255)
    // Pieces are sent from files, and who is told that one was sent may be told too early: it stays.
    const path = join(folder, String(count++))
    writeFileSync(path, bytes)
    const lie: Lie = { to: peer ?? '', digest, piece: offer.piece }
    appendFileSync(liesFile, `${JSON.stringify(lie)}\n`)
    return { ...offer, path, start: 0, end: bytes.length }
  }
  await import('../../src/main.ts')
}
