import { chmodSync, chownSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { asideOf, intoPlace, removeLeftovers } from '../aside.ts'
import { ClusterKey } from '../cluster/cluster-key.ts'
import { rotate } from '../cluster/key-rotation.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'

const newSecret = () => crypto.getRandomValues(new Uint8Array(32))

/** A new pre-shared key, in the form that libp2p keeps such keys in: 256 random bits. */
export function newClusterKey(): string {
  return new TextDecoder().decode(new ClusterKey(newSecret()).file)
}

/** `shoal keygen` */
export function keygen(program: Command, context: Context): void {
  program
    .command('keygen')
    .description('print a new cluster key, to be given to every node with --cluster-key-file')
    .option('-o, --output <file>', 'write it to a new file that only this user may read')
    .option('--rotate <file>', 'take the next of the three steps that change the key in that file for a new one')
    .action((options: { output?: string; rotate?: string }) => {
      if (options.rotate !== undefined) return rotateFile(options.rotate, context)
      const key = newClusterKey()
      if (options.output === undefined) return context.out(key.trimEnd())
      // On a fresh host there is no /etc/shoal yet. It is open to all, as its other files are for the service.
      mkdirSync(dirname(options.output), { recursive: true, mode: 0o755 })
      try {
        writeFileSync(options.output, key, { mode: 0o600, flag: 'wx' })
      } catch (error) {
        const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST'
        if (!exists) throw error
        throw new CommandError(
          `${options.output} is there already; a key that nodes use must not be lost, so choose another name`,
        )
      }
    })
}

const remedies = [
  '',
  'give this file to every node, then run the same command again here',
  'give this file to every node, then run the same command once more here',
  'give this file to every node; the key is changed',
]

/**
 * Written aside and put in its place: a node that reads it meanwhile sees the one or the other. Whoever could read the
 * file before still can, for that may be the node's user; but strangers of the host cannot. A link stays one: it is the
 * key that it leads to which changes.
 */
function rotateFile(named: string, context: Context): void {
  const found = statSync(named, { throwIfNoEntry: false })
  if (!found) {
    throw new CommandError(
      `there is no ${named}; name the file that nodes have as --cluster-key-file, or make a first key: shoal keygen --output ${named}`,
    )
  }
  if (!found.isFile()) throw new CommandError(`${named} is no file; name the one that nodes have as --cluster-key-file`)
  const path = realpathSync(named)
  const { step, text, said } = rotate(readFileSync(path, 'utf8'), named, newSecret())
  removeLeftovers(path, context.clock.wall())
  const aside = asideOf(path)
  try {
    writeFileSync(aside, text, { mode: 0o600, flag: 'wx' })
    chownSync(aside, found.uid, found.gid)
    chmodSync(aside, found.mode & 0o740)
    intoPlace(aside, path)
  } catch (error) {
    rmSync(aside, { force: true })
    // It is the folder that does not take it.
    throw error instanceof Error ? Object.assign(error, { path: dirname(path) }) : error
  }
  context.out(`step ${step} of 3: ${said}\n${remedies[step]}`)
}
