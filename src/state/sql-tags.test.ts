import { expect, test } from 'bun:test'
import { systemClock } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { formatRepository, parseTag, repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import type { Sql } from './sql.ts'
import { SqlContents } from './sql-contents.ts'
import { Repositories } from './sql-repositories.ts'
import { SqlTags } from './sql-tags.ts'
import { openSqliteFile } from './sqlite.ts'

test('names of repositories are found without a look at all that these have', async () => {
  const sql = await openSqliteFile(':memory:', { clock: systemClock, log: silentLog })
  const asked: string[] = []
  const heard: Sql = {
    dialect: sql.dialect,
    rows: (text, values) => {
      asked.push(text)
      return sql.rows(text, values)
    },
    transaction: (work) => sql.transaction(work),
  }
  const repositories = new Repositories(silentLog)
  const tags = new SqlTags(heard, repositories)
  const contents = new SqlContents(sql, repositories)
  const named = Array.from({ length: 30 }, (_, i) => repositoryOf('apps.corp', `team/app${i}`))
  for (const [i, repository] of named.entries()) {
    for (let n = 0; n < 5; n++) {
      const digest = digestOf(Buffer.from(`${n}`))
      if (i % 3 > 0) await contents.add(repository, { digest, kind: 'blob', mediaType: 'm', size: 1, at: 1 })
      if (i % 3 < 2) {
        await tags.set(repository, parseTag(`v${n}`), { digest, mediaType: 'm', size: 1, at: 1, by: 'n1' })
      }
    }
  }
  const names = named.map(formatRepository).sort()
  asked.length = 0
  expect((await tags.repositories({ limit: 100 })).map(formatRepository)).toEqual(names)
  expect((await tags.repositories({ after: names[9]!, limit: 10 })).map(formatRepository)).toEqual(names.slice(10, 20))
  const plan = await sql.rows(`EXPLAIN QUERY PLAN ${asked[0]}`, ['', 10])
  const looks = plan.map(({ detail }) => String(detail)).filter((detail) => /tag_lines|contents/.test(detail))
  expect(looks).toHaveLength(4)
  for (const look of looks) {
    expect(look).toMatch(
      /^SEARCH (?:contents USING COVERING INDEX contents_there|tag_lines USING INDEX tag_lines_newest) \(repository>\?\)$/,
    )
  }
  await sql.close()
})

test('rows that name no repository stay, however old: no rule says what is to become of them', async () => {
  const sql = await openSqliteFile(':memory:', { clock: systemClock, log: silentLog })
  const repositories = new Repositories(silentLog)
  const [tags, contents] = [new SqlTags(sql, repositories), new SqlContents(sql, repositories)]
  const digest = digestOf(Buffer.from('a'))
  for (const repository of [{ registry: 'http:', name: 'x' }, repositoryOf('apps.corp', 'team/app')]) {
    await tags.set(repository, parseTag('v1'), { digest, mediaType: 'm', size: 1, at: 1, by: 'n1' })
    await contents.learn({ repository, digest, saidAt: 1 })
  }
  await tags.forget(1000, () => 'nothing')
  await contents.forget(1000, () => 'nothing')
  for (const table of ['tag_lines', 'contents']) {
    expect(await sql.rows(`SELECT repository FROM ${table}`)).toEqual([{ repository: 'http:/x' }])
  }
  await sql.close()
})
