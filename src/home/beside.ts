/**
 * What a backend has that the cluster's state does not tell of: all of it where the state was lost, or what another
 * cluster keeps at the same place. What the state says was deleted is not among it.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import type { Digest } from '../oci/digest.ts'
import { isTag, type Repository, type Tag } from '../oci/reference.ts'
import type { State } from '../state/state.ts'
import type { Backend } from './backends/backend.ts'
import { parseReferrers, type ReferrerDescriptor } from './backends/referrer.ts'

const tagsSchema = z.object({ tags: z.array(z.string()).nullish() })

export class Beside {
  readonly #backend: Backend
  readonly #state: Pick<State, 'tags' | 'contents'>

  constructor(backend: Backend, state: Pick<State, 'tags' | 'contents'>) {
    this.#backend = backend
    this.#state = state
  }

  /** @param enough the state knows some: a backend that cannot be asked is done without. @throws {Failure} */
  async tags(repository: Repository, after: string, limit: number, enough: boolean): Promise<Tag[]> {
    const search = new URLSearchParams({ n: String(limit), ...(after === '' ? {} : { last: after }) })
    const body = await this.#ask(repository, 'tags/list', search, enough)
    const tags = (tagsSchema.safeParse(body).data?.tags ?? []).filter(isTag).filter((tag) => tag > after)
    const entries = await Promise.all(tags.map((tag) => this.#state.tags.get(repository, tag)))
    return tags.filter((_, i) => entries[i] === undefined || entries[i].digest !== undefined)
  }

  /** @throws {Failure} as {@link tags} */
  async referrers(repository: Repository, subject: Digest, enough: boolean): Promise<ReferrerDescriptor[]> {
    const search = new URLSearchParams()
    const found = parseReferrers(await this.#ask(repository, `referrers/${subject}`, search, enough))
    const removed = await Promise.all(found.map(({ digest }) => this.#state.contents.removed(repository, digest)))
    return found.filter((_, i) => !removed[i])
  }

  async #ask(repository: Repository, path: string, search: URLSearchParams, enough: boolean): Promise<unknown> {
    try {
      const query = String(search)
      const { status, body } = await this.#backend.pass(repository, path, query === '' ? '' : `?${query}`, undefined)
      return status === 200 ? parseJson(new TextDecoder().decode(body)) : undefined
    } catch (error) {
      const { code } = Failure.from(error)
      const nothing = code === 'no-name' || code === 'no-manifest' || code === 'unsupported'
      if (nothing || enough) return undefined
      throw error
    }
  }
}
