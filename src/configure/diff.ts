/** Edits as people read them. */
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff'
import type { Edit } from './plan.ts'

/** A unified diff, as `diff -u` and `patch` have it. */
export function diffOf({ path, before, after }: Edit): string {
  const from = before === undefined ? '/dev/null' : path
  const to = after === undefined ? '/dev/null' : path
  const options = { context: 3, headerOptions: FILE_HEADERS_ONLY }
  return createTwoFilesPatch(from, to, before ?? '', after ?? '', undefined, undefined, options).trimEnd()
}
