/** What a registry's refusals mean, in words that say what to do. */
import { Failure, type FailureCode } from '../failure.ts'
import { copied } from '../install/places.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Answer } from './answer.ts'
import { parseRetryAfter, Transient } from './retry.ts'

/** What was asked for, for messages and for the code of a 404. */
export interface Subject {
  readonly repository: Repository
  /** `manifest v1`, `blob sha256:0123456789ab` */
  readonly what: string
  readonly missing: Extract<FailureCode, 'no-manifest' | 'no-blob' | 'no-name' | 'denied'>
  /** It is to be put there, or taken away. */
  readonly written?: boolean
}

/** How this node presented itself. */
export interface Presented {
  readonly account: string
  readonly file: string | undefined
  readonly withCredentials: boolean
}

const transient = new Set([408, 500, 502, 503, 504])

/** Reads what is needed of the answer, which is spent then. */
export async function failureOf(
  answer: Answer,
  subject: Subject,
  presented: Presented,
  wallNow: number,
): Promise<Failure> {
  const { status } = answer
  const { registry } = subject.repository
  const detail = { status }
  const codes = await errorCodes(answer)
  const said = codes.length > 0 ? ` (${codes.join(', ')})` : ''
  const elsewhere = answer.url.origin === answer.upstream.origin ? '' : ` from ${answer.url.host}`
  const about = `${subject.what} of ${formatRepository(subject.repository)}`
  const did = subject.written ? 'did not take' : 'did not give'
  const heading = `registry ${registry} ${did} ${about}: HTTP ${status}${said}${elsewhere}`
  if (status === 401 || status === 403) {
    return new Failure(
      'denied',
      `registry ${registry} refused ${about}: HTTP ${status}${said}${elsewhere}; ${remedy(presented)}`,
      {
        detail,
      },
    )
  }
  if (status === 404) {
    return new Failure(codes.includes('NAME_UNKNOWN') ? 'no-name' : subject.missing, `${heading}; it is not there`, {
      detail,
    })
  }
  if (status === 429) {
    const wait = parseRetryAfter(answer.headers.get('retry-after'), wallNow)
    const asks = wait === undefined ? '' : ` It asks to wait ${Math.ceil(wait / 1000)} s.`
    return new Transient(
      'too-many',
      `registry ${registry} limits how often this node may ask; ${heading}.${asks} ${presented.withCredentials ? 'A paid account or --source-rate may help' : `Credentials for ${presented.account} usually raise the limit`}`,
      detail,
      wait,
    )
  }
  if (transient.has(status)) {
    const wait = parseRetryAfter(answer.headers.get('retry-after'), wallNow)
    return new Transient('unavailable', `${heading}; the registry has a problem of its own`, detail, wait)
  }
  const code = status >= 500 ? 'unavailable' : subject.written ? 'bad-request' : 'corrupt'
  return new Failure(code, `${heading}, which is not an answer this request can have`, { detail })
}

export function remedy({ account, file, withCredentials }: Presented): string {
  if (file === undefined) {
    return `this node was given no credentials file; name one that holds a login for ${account}`
  }
  const again = loginAgain(account, file)
  if (withCredentials) {
    return `the credentials for ${account} in ${file} do not allow it; check them, or log in again${again ? `: ${again}` : ` with "docker login ${account}"`}`
  }
  return again
    ? `there are no credentials for ${account} in ${file}: ${again}`
    : `put credentials for ${account} into ${file}, for instance with "docker login ${account}"`
}

/** systemd.exec(5): where services find what LoadCredential= copies when they start. */
const loaded = /^\/run\/credentials\/[^/]+\//

/** Where the file is a copy, nobody logs in there: it is made anew of the one that is somebody's. */
function loginAgain(account: string, file: string): string | undefined {
  if (loaded.test(file))
    return `as root, "docker login ${account}", then "systemctl restart shoal", which copies that login`
  if (file !== copied['credentials-file']) return undefined
  return `"docker login ${account}", then "shoal install" with its file as --credentials-file, of which ${file} is a copy`
}

/** OCI distribution spec, "Error Codes": `{"errors":[{"code":...}]}`. Nothing else of the body is worth repeating. */
async function errorCodes(answer: Answer): Promise<string[]> {
  try {
    const body: unknown = JSON.parse(new TextDecoder().decode(await answer.bytes(16 * 1024)))
    if (typeof body !== 'object' || body === null || !('errors' in body) || !Array.isArray(body.errors)) return []
    return body.errors
      .map((error: unknown) =>
        typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined,
      )
      .filter((code): code is string => typeof code === 'string' && /^[A-Z0-9_]{1,40}$/.test(code))
      .slice(0, 3)
  } catch {
    return []
  } finally {
    answer.close()
  }
}
