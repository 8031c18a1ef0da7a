/**
 * What files were like before, kept until `--undo`: one folder for each engine, with the originals under their own
 * names and a record. It is written before anything is changed, so that there is always a way back.
 */
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import type { Disk, Manner } from './disk.ts'
import { type Edit, type Mirrors, Refusal } from './plan.ts'

const fileSchema = z.object({
  path: z.string(),
  /** Name of the copy in the folder; absent: there was no such file. */
  copy: z.string().optional(),
  mode: z.number().optional(),
  modified: z.number().optional(),
  /** Of the text that was written. */
  sha256: z.string(),
})
const recordSchema = z.object({
  version: z.literal(1),
  mirrors: z.array(z.string()),
  files: z.array(fileSchema),
  /** Folders that were made. */
  made: z.array(z.string()),
})
type BackedUp = z.infer<typeof fileSchema>

/** A file that is configured, as it was and as it is meant to be. */
export interface Kept {
  readonly path: string
  readonly original: string | undefined
  /** How the original was, where there was one. */
  readonly manner: Manner | undefined
  /** Whether the text is the one that was written. */
  readonly ours: (text: string | undefined) => boolean
}

export class Backup {
  readonly #disk: Disk
  readonly #folder: string

  /** `folder` is that of all engines. */
  constructor(disk: Disk, folder: string, engine: string) {
    this.#disk = disk
    // They share their files.
    this.#folder = join(folder, engine === 'cri-o' ? 'podman' : engine)
  }

  /** Mirrors that an earlier run put there; none if there was no such run. */
  get mirrors(): Mirrors {
    return this.#read()?.mirrors ?? []
  }

  /** Where the original of a file is, for people. */
  placeOf(path: string): string | undefined {
    const copy = this.#read()?.files.find((file) => file.path === path)?.copy
    return copy && join(this.#folder, copy)
  }

  kept(): Kept[] {
    return (this.#read()?.files ?? []).map(({ path, copy, mode, modified, sha256 }) => ({
      path,
      original: copy === undefined ? undefined : this.#copied(copy),
      manner: mode === undefined ? undefined : { mode, ...(modified === undefined ? {} : { modified }) },
      ours: (text) => text !== undefined && digestOf(text) === sha256,
    }))
  }

  /**
   * Notes what `edits` are about to change. `originalOf`: what a file is like without shoal, where that is not what the
   * edit starts from.
   */
  note(edits: readonly Edit[], mirrors: Mirrors, originalOf: (edit: Edit) => string | undefined): void {
    const before = this.#read()
    const files = new Map((before?.files ?? []).map((file) => [file.path, file]))
    const copies: Edit[] = []
    for (const edit of edits) {
      const original = originalOf(edit)
      const known = files.get(edit.path)
      const manner =
        known?.mode === undefined ? this.#disk.manner(edit.path) : { mode: known.mode, modified: known.modified }
      const copy =
        original === undefined ? undefined : (known?.copy ?? `${numberAfter(files.values())}-${basename(edit.path)}`)
      files.set(edit.path, {
        path: edit.path,
        ...(copy === undefined ? {} : { copy, mode: manner?.mode ?? 0o644, modified: manner?.modified }),
        sha256: digestOf(edit.after ?? ''),
      })
      if (copy !== undefined) copies.push(this.#edit(copy, original))
    }
    const made = [...new Set([...(before?.made ?? []), ...this.#madeFor(edits)])]
    this.#write([...copies, this.#edit('record.json', this.#render(mirrors, [...files.values()], made))])
  }

  /**
   * Forgets everything, once it is undone: what was made for it goes as well. The record first: with one whose copies are
   * gone there would be no way on.
   */
  remove(): void {
    const record = this.#read()
    if (!record) return
    const names = ['record.json', ...record.files.flatMap(({ copy }) => copy ?? [])]
    this.#disk.write(names.map((name) => this.#edit(name, undefined)).filter(({ before }) => before !== undefined))
    this.#disk.removeFolders([...record.made, this.#folder])
  }

  /** Also what was made for another engine, and is used here too: whichever is undone last removes it. */
  #madeFor(edits: readonly Edit[]): string[] {
    const paths = [...edits.map(({ path }) => path), join(this.#folder, 'record.json')]
    const base = dirname(this.#folder)
    const others = this.#disk.list(base).flatMap((name) => this.#read(join(base, name))?.made ?? [])
    const shared = others.filter((folder) => paths.some((path) => path.startsWith(`${folder}/`)))
    return [...shared, ...paths.flatMap((path) => this.#disk.missingFolders(path))]
  }

  #render(mirrors: Mirrors, files: readonly BackedUp[], made: readonly string[]): string {
    return `${JSON.stringify({ version: 1, mirrors, files, made }, null, 2)}\n`
  }

  #edit(name: string, after: string | undefined): Edit {
    const path = join(this.#folder, name)
    return { path, before: this.#disk.read(path), after }
  }

  /** Proxies in a daemon.json can have passwords. */
  #write(edits: readonly Edit[]): void {
    this.#disk.write(
      edits.filter(({ before, after }) => before !== after),
      () => ({ mode: 0o600 }),
    )
  }

  #copied(copy: string): string {
    const path = join(this.#folder, copy)
    const text = this.#disk.read(path)
    if (text === undefined) throw new Refusal(`the backup ${path} is gone, so what was there before is not known`)
    return text
  }

  #read(folder = this.#folder): z.infer<typeof recordSchema> | undefined {
    const path = join(folder, 'record.json')
    const text = this.#disk.read(path)
    if (text === undefined) return undefined
    try {
      return recordSchema.parse(JSON.parse(text))
    } catch {
      throw new Refusal(
        `${path} is not a record that this version wrote; move ${folder} away, and mend the engine's files by hand`,
      )
    }
  }
}

/** One that no copy has. Not how many files there are: one that is known without a copy can get one later. */
function numberAfter(files: Iterable<BackedUp>): number {
  return Math.max(0, ...[...files].map(({ copy }) => Number.parseInt(copy ?? '0', 10))) + 1
}

function digestOf(text: string): string {
  return Bun.SHA256.hash(text, 'hex')
}
