/** Which backend a URL means, and what is wrong with one that means none. */
import { statSync } from 'node:fs'
import { folderIn } from '../../config/backend-folder.ts'
import type { Places } from '../../first-there.ts'
import { awsCredentials, type Environment } from './aws-credentials.ts'
import type { Backend } from './backend.ts'
import { FolderObjects } from './folder-objects.ts'
import { ObjectBackend } from './object-backend.ts'
import { OciLayouts } from './oci-layout.ts'
import { RegistryBackend, type RegistryBackendOptions } from './registry-backend.ts'
import { S3Objects } from './s3-objects.ts'
import { s3Place } from './s3-place.ts'
import { signFor } from './s3-signature.ts'
import { WebClient } from './web-client.ts'
import { WebObjects } from './web-objects.ts'

export interface BackendOptions extends RegistryBackendOptions {
  readonly env: Environment
  /** With profiles as AWS's tools have them, for object stores. */
  readonly awsFile?: Places | undefined
}

/** @throws {Error} for what is no URL of a backend, in a sentence that says what one is */
export function backendOf(text: string, options: BackendOptions): Backend {
  const url = URL.parse(text)
  if (!url) throw new Error(`"${text.slice(0, 160)}" is no URL; ${expected}`)
  if (url.username !== '' || url.password !== '') {
    throw new Error(`the backend ${url.protocol}//${url.host} must not hold credentials in its URL; ${credentialsHelp}`)
  }
  switch (url.protocol) {
    case 'file:': {
      const { dir, writable } = folderOf(url)
      return new ObjectBackend(new FolderObjects(dir, options.clock, writable))
    }
    case 'oci:': {
      const { dir, writable } = folderOf(url)
      return new OciLayouts(dir, options.clock, writable)
    }
    case 'registry+http:':
    case 'registry+https:': {
      mustBePlain(url)
      return new RegistryBackend(new URL(url.href.slice('registry+'.length)), options)
    }
    case 's3:': {
      const place = s3Place(url, options.env)
      const sign = signFor(awsCredentials(options.env, options.awsFile ?? []), place.region)
      return new ObjectBackend(new S3Objects(new WebClient(place.name, place.base, options, sign), place))
    }
    case 'http:':
    case 'https:': {
      mustBePlain(url)
      const base = url.href.replace(/\/*$/, '/')
      return new ObjectBackend(new WebObjects(new WebClient(base, url, options)))
    }
    default:
      throw new Error(`${url.protocol}// is no backend; ${expected}`)
  }
}

/** What the URL of a folder says of one that others write. */
const readOnly = '?write=no'
const expected =
  'give s3://bucket/prefix?endpoint=..., file:///directory, http(s)://server/path, oci:///directory or registry+https://host'
const credentialsHelp = 'see --home-credentials-file for object stores, and --credentials-file for registries'

function mustBePlain(url: URL): void {
  if (url.search === '' && url.hash === '') return
  throw new Error(`the backend ${url.protocol}//${url.host} must not have a ? or # in its URL`)
}

/**
 * It is written unless the URL says that it is not. Whether it can be is found out with each write: what belongs there may
 * be mounted later, and its owner and mode be mended.
 */
function folderOf(url: URL): { dir: string; writable: boolean } {
  if (url.host !== '')
    throw new Error(`${url.protocol}//${url.host}${url.pathname}: write three slashes before the directory`)
  const dir = folderIn(url)
  if ((url.search !== '' && url.search !== readOnly) || url.hash !== '') {
    throw new Error(
      `the backend ${url.protocol}//${dir} may have ${readOnly} at its end, where it is only read, and no other ? or #; ` +
        'in the name of a directory write %3F and %23',
    )
  }
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return { dir, writable: url.search !== readOnly }
  throw new Error(`the backend ${url.protocol}//${dir} is not a directory; make it, or mount what should be there`)
}
