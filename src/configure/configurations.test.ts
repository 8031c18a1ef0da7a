/** What becomes of configurations as they are found on hosts, and that all of it can be taken back. */
import { describe, expect, test } from 'bun:test'
import { type Configuration, configurations, local, standby, type Tree } from '../../test/fakes/configurations.ts'
import { type Files, Refusal, usualFile } from './plan.ts'
import { planOf, planUndo } from './setup.ts'

/** Files as a table has them. */
function filesOf(tree: Tree): Files {
  const below = (path: string) => Object.keys(tree).filter((name) => name.startsWith(`${path}/`))
  return {
    read: (path) => tree[path],
    list: (path) => [...new Set(below(path).map((name) => name.slice(path.length + 1).split('/')[0]!))].sort(),
  }
}

function settingOf({ engine, flags, major }: Configuration) {
  return { engine, file: usualFile[engine], flags: flags ?? [], ...(major === undefined ? {} : { major }) }
}

const both = [local, standby]

function plan(of: Configuration, tree: Tree, mirrors = both, former: readonly string[] = []) {
  return planOf(settingOf(of), filesOf(tree), { mirrors, former, registries: of.registries ?? [] })
}

function afterwards(tree: Tree, edits: readonly { path: string; after: string | undefined }[]): Tree {
  const next: Tree = { ...tree }
  for (const { path, after } of edits) {
    if (after === undefined) delete next[path]
    else next[path] = after
  }
  return next
}

describe.each(configurations.map((each) => [each.what, each] as const))('%s', (_, each) => {
  const { becomes } = each
  if (becomes instanceof RegExp) {
    test('is refused, with what to do', () => {
      expect(() => plan(each, each.files)).toThrow(Refusal)
      expect(() => plan(each, each.files)).toThrow(becomes)
    })
    return
  }
  test('becomes what it should', () => {
    const { edits, effect } = plan(each, each.files)
    expect(Object.fromEntries(edits.map(({ path, after }) => [path, after]))).toEqual(becomes)
    for (const { path, before } of edits) expect(before).toBe(each.files[path])
    if (each.effect) expect(effect).toBe(each.effect)
  })
  test('is not changed by a second run, and a stand-by that is no longer wanted goes', () => {
    const tree = afterwards(each.files, plan(each, each.files).edits)
    expect(plan(each, tree).edits).toEqual([])
    const alone = afterwards(tree, plan(each, tree, [local], both).edits)
    const untouched = Object.keys(becomes).length === 0
    if (!untouched) expect(JSON.stringify(alone)).not.toContain('10.0.0.8')
    expect(plan(each, alone, [local], [local]).edits).toEqual([])
  })
  test('is what it was after an undo', () => {
    const { edits } = plan(each, each.files)
    const tree = afterwards(each.files, edits)
    const kept = edits.map(({ path, before, after }) => ({
      path,
      original: before,
      manner: undefined,
      ours: (text: string | undefined) => text === after,
    }))
    const undone = planUndo(settingOf(each), filesOf(tree), kept, both, false)
    expect(afterwards(tree, undone.edits)).toEqual(each.files)
  })
  test('loses only what was put there when it was changed since and is undone', () => {
    const { edits } = plan(each, each.files)
    const comment = each.engine === 'docker' ? '\n' : '# later\n'
    const changed = Object.fromEntries(edits.map(({ path, after }) => [path, `${after!}${comment}`]))
    const kept = edits.map(({ path, before }) => ({ path, original: before, manner: undefined, ours: () => false }))
    const undone = planUndo(settingOf(each), filesOf({ ...each.files, ...changed }), kept, both, false)
    for (const { after } of undone.edits) {
      expect(after).not.toContain(':4880')
      if (each.engine !== 'docker') expect(after).toContain('# later')
    }
    expect(undone.notes).toHaveLength(edits.length)
  })
})
