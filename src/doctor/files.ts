/** How many files a node may have open. Pure. */
import { enoughFiles } from '../file-limit.ts'
import { type Finding, findingsOf } from './finding.ts'

export interface FilesFacts {
  /** Of the node that runs, or else of what is started from here; absent where the system does not tell. */
  readonly limit: number | undefined
  readonly ofNode: boolean
  /** It runs as a service of systemd. */
  readonly service: boolean
}

const { good, note, warning } = findingsOf('files')

export function judgeFiles({ limit, ofNode, service }: FilesFacts): Finding[] {
  if (limit === undefined) return [note('how many files a node may have open is not to be found out here')]
  const whose = ofNode ? 'the node' : 'a node started from here'
  if (limit >= enoughFiles) return [good(`${whose} may have ${limit} files open`)]
  return [
    warning(`${whose} may have ${limit} files open, fewer than ${enoughFiles}`, {
      why: 'connections are files: above three quarters of that the node closes those that rest, and it takes fewer clients',
      remedy: service
        ? 'systemctl edit shoal   # [Service] LimitNOFILE=1048576'
        : `ulimit -Hn 1048576   # as root, in the shell that starts it`,
    }),
  ]
}
