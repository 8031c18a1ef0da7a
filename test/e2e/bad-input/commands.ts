/** Command lines that are wrong, or that meet a host on which they cannot work, and how they end. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface BadCommand {
  readonly what: string
  readonly args: readonly string[]
  readonly env?: Record<string, string>
  readonly code: 0 | 1 | 2
  /** Found in what it prints. */
  readonly says: RegExp
}

export interface Surroundings {
  /** A scratch folder. */
  readonly dir: string
  /** Where a node runs: its addresses and data. */
  readonly taken: { readonly registry: string; readonly peer: string; readonly p2p: string; readonly admin: string }
  readonly takenData: string
}

export function badCommands({ dir, taken, takenData }: Surroundings): readonly BadCommand[] {
  const file = (name: string, text: string) => {
    const path = join(dir, name)
    writeFileSync(path, text)
    return path
  }
  const up = (...args: string[]) => ['up', ...args]
  const yaml = (text: string) => up('--config', file(`${crypto.randomUUID()}.yaml`, text))
  const plainFile = file('plain-file', 'not a folder\n')
  mkdirSync(join(dir, 'folder'), { recursive: true })
  return [
    { what: 'no such command', args: ['fly'], code: 2, says: /unknown command 'fly'/ },
    {
      what: 'no such flag',
      args: up('--cahce-size', '1GB'),
      code: 2,
      says: /unknown option '--cahce-size'.*cache-size/s,
    },
    { what: 'a flag without its value', args: up('--zone'), code: 2, says: /--zone <zone>.*argument missing/ },
    { what: 'one word too many', args: up('now'), code: 2, says: /too many arguments/ },
    {
      what: 'a mode that is none',
      args: up('--mode', 'captain'),
      code: 2,
      says: /--mode "captain": expected all, peer/,
    },
    {
      what: 'a port alone',
      args: up('--registry-addr', '4880'),
      code: 2,
      says: /--registry-addr "4880": expected an ad/,
    },
    {
      what: 'a port too high',
      args: up('--p2p-addr', '0.0.0.0:70000'),
      code: 2,
      says: /--p2p-addr "0\.0\.0\.0:70000"/,
    },
    {
      what: 'one port twice',
      args: up('--registry-addr', '127.0.0.1:5001', '--admin-addr', '127.0.0.1:5001'),
      code: 2,
      says: /--registry-addr has that port already/,
    },
    {
      what: 'a size in words',
      args: up('--cache-size', 'lots'),
      code: 2,
      says: /--cache-size "lots": expected a size/,
    },
    { what: 'a rate in neither', args: up('--upload-rate', '10Mb/s'), code: 2, says: /--upload-rate "10Mb\/s": expec/ },
    {
      what: 'a time without a unit',
      args: up('--tag-ttl', '60'),
      code: 2,
      says: /--tag-ttl "60": expected a duration/,
    },
    { what: 'a cache for a second', args: up('--cache-ttl', '1s'), code: 2, says: /expected a duration of a minute/ },
    {
      what: 'a seed list with port 0',
      args: up('--join', '10.0.0.7:0'),
      code: 2,
      says: /--join "10\.0\.0\.7:0": expected/,
    },
    { what: 'an upstream without a URL', args: up('--upstream', 'ghcr.io'), code: 2, says: /expected NAME=URL/ },
    {
      what: 'an upstream with a password',
      args: up('--upstream', 'ghcr.io=https://me:secret@ghcr.io'),
      code: 2,
      says: /\[redacted\]@ghcr\.io": expected NAME=URL/,
    },
    { what: 'a zone too deep', args: up('--zone', 'a/b/c/d'), code: 2, says: /--zone "a\/b\/c\/d": expected region/ },
    {
      what: 'admin for everybody, no token',
      args: up('--admin-addr', '0.0.0.0:4883'),
      code: 2,
      says: /give --admin-token-file too/,
    },
    {
      what: 'a token too short',
      args: up('--admin-token-file', file('token', 'abc\n')),
      code: 2,
      says: /token of 16 or more/,
    },
    {
      what: 'no such config file',
      args: up('--config', join(dir, 'none.yaml')),
      code: 2,
      says: /there is no such file/,
    },
    { what: 'a folder for a file', args: up('--config', join(dir, 'folder')), code: 2, says: /it is a directory/ },
    {
      what: 'an unknown YAML key',
      args: yaml('zone: eu\ncahce-size: 1GB\n'),
      code: 2,
      says: /:2: .*mean cache-size\?/,
    },
    { what: 'a list for one value', args: yaml('zone: [a, b]\n'), code: 2, says: /:1: zone: expected one value/ },
    { what: 'what is not YAML', args: yaml('zone: "eu\n'), code: 2, says: /\.yaml:[12]: / },
    {
      what: 'an unknown variable',
      args: up(),
      env: { SHOAL_TAG_TLT: '1s' },
      code: 2,
      says: /SHOAL_TAG_TLT: there is no such variable; did you mean SHOAL_TAG_TTL\?/,
    },
    {
      what: 'a variable with a wrong value',
      args: up(),
      env: { SHOAL_LOG_LEVEL: 'loud' },
      code: 2,
      says: /SHOAL_LOG_LEVEL "loud": expected debug, info, warn or error/,
    },
    {
      what: 'three mistakes at once',
      args: up('--mode', 'x', '--zone', '//', '--tag-ttl', 'y'),
      code: 2,
      says: /--mode "x".*--tag-ttl "y".*--zone|--mode "x".*--zone.*--tag-ttl "y"|--tag-ttl "y".*--zone.*--mode/s,
    },
    {
      what: 'no such cluster key',
      args: up('--cluster-key-file', join(dir, 'none.key')),
      code: 2,
      says: /--cluster-key-file ".*none\.key": there is no such file/,
    },
    {
      what: 'a garbled cluster key',
      args: up('--cluster-key-file', file('garbled.key', '/key/swarm/psk/1.0.0/\n/base16/\nabc\n')),
      code: 1,
      says: /is not a cluster key: its line 3 is not 64 hex digits\. Copy the file from a node that works/,
    },
    {
      what: 'a registry port in use',
      args: up('--registry-addr', taken.registry),
      code: 1,
      says: /\(--registry-addr\) is in use by another program/,
    },
    {
      what: 'a peer port in use',
      args: up('--peer-addr', taken.peer),
      code: 1,
      says: /\(--peer-addr\) is in use by another program/,
    },
    {
      what: 'a libp2p port in use',
      args: up('--p2p-addr', taken.p2p),
      code: 1,
      says: /\(--p2p-addr\) is in use by another program/,
    },
    {
      what: 'an admin port in use',
      args: up('--admin-addr', taken.admin),
      code: 1,
      says: /\(--admin-addr\) is in use by another program/,
    },
    {
      what: 'an address of another host',
      args: up('--registry-addr', '192.0.2.1:4880'),
      code: 1,
      says: /\(--registry-addr\) is not an address of this host/,
    },
    {
      what: 'a second node on the same data',
      args: up('--data-dir', takenData),
      code: 1,
      says: /another shoal \(pid [0-9]+\) uses .*; stop it or choose another --data-dir/,
    },
    {
      what: 'data where none can be written',
      args: up('--data-dir', '/sys/shoal'),
      code: 1,
      says: /cannot use \/sys\/shoal for data as (?!user unknown).*choose another --data-dir/,
    },
    {
      what: 'data in a file',
      args: up('--data-dir', join(plainFile, 'data')),
      code: 1,
      says: /cannot use .*plain-file\/data for data as .*choose another --data-dir/,
    },
    { what: 'a preheat of nothing', args: ['preheat'], code: 2, says: /name the images and URLs to bring/ },
    {
      what: 'a preheat of a share of nothing',
      args: ['preheat', 'debian', '--share', '0'],
      code: 2,
      says: /Expected a share above 0/,
    },
    {
      what: 'status of no node',
      args: ['status', '--admin-addr', '127.0.0.1:1'],
      code: 1,
      says: /no node answers at 127\.0\.0\.1:1; start one with `shoal up`/,
    },
    {
      what: 'status of what is no node',
      args: ['status', '--admin-addr', taken.registry],
      code: 1,
      says: /could not answer|no shoal node/,
    },
    {
      what: 'a key over another',
      args: ['keygen', '--output', plainFile],
      code: 1,
      says: /is there already; a key that nodes use must not be lost/,
    },
  ]
}
