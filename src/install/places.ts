/** Where an installation has its parts. */
import { join } from 'node:path'
import { defaultConfigFile, type Name } from '../config/table.ts'

export const unitName = 'shoal.service'
/** Those two of `--snapshotter`, which run as root. */
export const mounterName = 'shoal-mounter.service'
export const snapshotterName = 'shoal-snapshotter.service'
/** Whom the unit runs as. */
export const user = 'shoal'
export const usualData = '/var/lib/shoal'

/** Where the service sees the blobs of the engine. */
export const engineBlobs = '/run/shoal-engine/blobs'

const settingsDir = '/etc/shoal'
const dropInDir = `/etc/systemd/system/${unitName}.d`

export const places = {
  binary: '/usr/local/bin/shoal',
  unit: `/etc/systemd/system/${unitName}`,
  mounterUnit: `/etc/systemd/system/${mounterName}`,
  snapshotterUnit: `/etc/systemd/system/${snapshotterName}`,
  /** Where the two keep what is theirs. */
  mounterData: '/var/lib/shoal-mounter',
  snapshotterData: '/var/lib/shoal-snapshotter',
  snapshotterSocket: '/run/shoal-snapshotter/snapshotter.sock',
  dropInDir,
  /** For data that is elsewhere than the unit has it, and for backends. */
  dropIn: join(dropInDir, 'data-dir.conf'),
  /** For blobs of the engine, which lie in a folder that is shut to the service. */
  engineDropIn: join(dropInDir, 'engine-content.conf'),
  settingsDir,
  settings: defaultConfigFile,
  /** Names, one a line, of what an installation put into the directory of settings; and whether it made the user. */
  record: join(settingsDir, '.installed'),
  /** What `shoal configure` keeps of engines' files. */
  undo: join(settingsDir, 'undo'),
  /** SHOAL_* variables, where the operator made such a file. */
  variables: '/etc/default/shoal',
  users: '/etc/passwd',
} as const

/** Files that settings name are copied to where the service, which sees no home directory, can read them. */
export const copied: Partial<Record<Name, string>> = {
  'cluster-key-file': join(settingsDir, 'cluster.key'),
  'admin-token-file': join(settingsDir, 'admin.token'),
  'push-users-file': join(settingsDir, 'push.users'),
  'credentials-file': join(settingsDir, 'docker.json'),
  'home-credentials-file': join(settingsDir, 'aws.credentials'),
  'ca-file': join(settingsDir, 'ca.pem'),
  'state-password-file': join(settingsDir, 'state.password'),
  'state-ca-file': join(settingsDir, 'state-ca.pem'),
}

/** What a node makes in its data directory: the rest there is somebody else's. */
export const ownData = /^(?:blobs|making|node\.key|shoal\.(?:db|layers|lock|pid|spare)\b.*|state\.db(?:-.*)?)$/
