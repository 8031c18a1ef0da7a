/**
 * The folder of a layout, as it is on the disk. What `--output` names may be a link, for whoever runs the command says so. What
 * is below is named by nobody: where another user of the host could have made it, a link would have any file written, by root
 * as often as not.
 */
import { lstat, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../failure.ts'
import { partSuffix, unlessAbsent } from './sink.ts'

/**
 * Makes the folder where there is none; what is made stays whose it is, so that it is looked at afterwards.
 * @param users believed to have put nothing in it: by default root, and who asks
 * @throws {Failure} `forbidden` where it, or the link to it, belongs to another user
 */
export async function ownFolder(dir: string, users = [0, process.geteuid?.()]): Promise<void> {
  await mkdir(dir, { recursive: true })
  for (const { uid } of [await lstat(dir), await stat(dir)]) {
    if (users.includes(uid)) continue
    throw new Failure(
      'forbidden',
      `${dir} belongs to another user (uid ${uid}), who could have what is written there go elsewhere; take another folder`,
    )
  }
}

/**
 * Where a file of the layout is: `blobs/sha256/<hex>` in it, say.
 * @throws {Failure} `forbidden` where that, its unfinished part, or a folder on the way is a link
 */
export async function fileIn(dir: string, name: string): Promise<string> {
  const path = join(dir, name)
  const folders = name.split('/').map((_, i, steps) => join(dir, ...steps.slice(0, i)))
  for (const each of [...folders.slice(1), path, path + partSuffix]) {
    if (!(await unlessAbsent(lstat(each)))?.isSymbolicLink()) continue
    throw new Failure(
      'forbidden',
      `${each} is a link, and in a layout none is followed; remove it, or take another folder`,
    )
  }
  return path
}
