/** Configurations of engines as they are found on hosts, each with what becomes of it: whole texts, or why it is left alone. */
import { type Engine, usualFile } from '../../src/configure/plan.ts'

/** Texts by path. */
export type Tree = Record<string, string>

export interface Configuration {
  readonly what: string
  readonly engine: Engine
  readonly files: Tree
  /** Files that differ afterwards; or what the refusal says. */
  readonly becomes: Tree | RegExp
  readonly effect?: 'reload' | 'restart' | 'none'
  readonly registries?: readonly string[]
  /** That it runs with. */
  readonly flags?: readonly string[]
  /** Of containerd. */
  readonly major?: number
}

export const local = 'http://127.0.0.1:4880'
export const standby = 'http://10.0.0.8:4880'
const daemon = usualFile.docker
const config = usualFile.containerd
const certs = '/etc/containerd/certs.d'
const hub = `${certs}/docker.io/hosts.toml`
const rest = `${certs}/_default/hosts.toml`
const main = '/etc/containers/registries.conf'
const dropIn = usualFile.podman

const host = (url: string) => `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n`
const freshRest = `${host(local)}\n${host(standby)}`
const freshHub = `server = "https://registry-1.docker.io"\n\n${freshRest}`
const mirrors = (name: string) =>
  [local, standby]
    .map((url) => `[[registry.mirror]]\nlocation = "${url.slice(7)}/${name}"\ninsecure = true\n`)
    .join('\n')
const entry = (name: string) => `[[registry]]\nlocation = "${name}"\n\n${mirrors(name)}`

export const configurations: readonly Configuration[] = [
  {
    what: 'dockerd: no file, and no folder for it',
    engine: 'docker',
    files: {},
    becomes: { [daemon]: `{\n  "registry-mirrors": ["${local}", "${standby}"]\n}\n` },
  },
  {
    what: 'dockerd: an empty file',
    engine: 'docker',
    files: { [daemon]: '\n' },
    becomes: { [daemon]: `{\n  "registry-mirrors": ["${local}", "${standby}"]\n}\n` },
  },
  {
    what: 'dockerd: an object without settings',
    engine: 'docker',
    files: { [daemon]: '{}\n' },
    becomes: { [daemon]: `{\n  "registry-mirrors": ["${local}", "${standby}"]\n}\n` },
  },
  {
    what: 'dockerd: other settings, by tabs, without a last line end',
    engine: 'docker',
    files: { [daemon]: '{\n\t"debug":true,\n\t"log-opts" : { "max-size": "10m" }\n}' },
    becomes: {
      [daemon]: `{\n\t"debug":true,\n\t"log-opts" : { "max-size": "10m" },\n\t"registry-mirrors": ["${local}", "${standby}"]\n}`,
    },
  },
  {
    what: 'dockerd: all in one line',
    engine: 'docker',
    files: { [daemon]: '{"debug": true}' },
    becomes: { [daemon]: `{"debug": true, "registry-mirrors": ["${local}", "${standby}"]}` },
  },
  {
    what: 'dockerd: another mirror, which comes after ours',
    engine: 'docker',
    files: { [daemon]: '{\n  "registry-mirrors": [\n    "https://mirror.corp/"\n  ],\n  "debug": true\n}\n' },
    becomes: {
      [daemon]: `{\n  "registry-mirrors": [\n    "${local}",\n    "${standby}",\n    "https://mirror.corp/"\n  ],\n  "debug": true\n}\n`,
    },
  },
  {
    what: 'dockerd: the same mirrors already, otherwise written',
    engine: 'docker',
    files: { [daemon]: `{"registry-mirrors":["http://localhost:4880/","${standby}","https://mirror.corp"]}` },
    becomes: {},
    effect: 'none',
  },
  {
    what: 'dockerd: our mirror after another one',
    engine: 'docker',
    files: { [daemon]: `{"registry-mirrors": ["https://mirror.corp", "${local}"]}` },
    becomes: { [daemon]: `{"registry-mirrors": ["${local}", "${standby}", "https://mirror.corp"]}` },
  },
  {
    what: 'dockerd: a list that is null',
    engine: 'docker',
    files: { [daemon]: '{"registry-mirrors": null}' },
    becomes: { [daemon]: `{"registry-mirrors": ["${local}", "${standby}"]}` },
  },
  {
    what: 'dockerd: a list that is empty',
    engine: 'docker',
    files: { [daemon]: '{"registry-mirrors": [ ]}' },
    becomes: { [daemon]: `{"registry-mirrors": ["${local}", "${standby}"]}` },
  },
  {
    what: 'dockerd: Windows line ends and a byte order mark',
    engine: 'docker',
    files: { [daemon]: '\uFEFF{\r\n  "debug": true\r\n}\r\n' },
    becomes: { [daemon]: `\uFEFF{\r\n  "debug": true,\r\n  "registry-mirrors": ["${local}", "${standby}"]\r\n}\r\n` },
  },
  {
    what: 'dockerd: a comment, with which it does not start',
    engine: 'docker',
    files: { [daemon]: '{\n  // proxies\n  "debug": true\n}\n' },
    becomes: /daemon\.json line 2: .*comment.* nothing was changed; mend it/,
  },
  {
    what: 'dockerd: a comma too many',
    engine: 'docker',
    files: { [daemon]: '{\n  "debug": true,\n}\n' },
    becomes: /daemon\.json line 3: .*nothing was changed; mend it/,
  },
  {
    what: 'dockerd: cut off in the middle',
    engine: 'docker',
    files: { [daemon]: '{\n  "debug": tr' },
    becomes: /daemon\.json line 2: .*nothing was changed; mend it/,
  },
  {
    what: 'dockerd: mirrors that are no list',
    engine: 'docker',
    files: { [daemon]: '{"registry-mirrors": "https://mirror.corp"}' },
    becomes: /"registry-mirrors" is not a list of addresses/,
  },
  {
    what: 'dockerd: mirrors twice',
    engine: 'docker',
    files: { [daemon]: '{"registry-mirrors": [], "registry-mirrors": ["https://mirror.corp"]}' },
    becomes: /has "registry-mirrors" 2 times/,
  },
  {
    what: 'dockerd: mirrors on its command line, beside which it takes none from the file',
    engine: 'docker',
    files: { [daemon]: '{}' },
    flags: ['/usr/bin/dockerd', '--registry-mirror=https://mirror.corp'],
    becomes: /runs with --registry-mirror.*take the flag out/,
  },
  {
    what: 'containerd 1: nothing there',
    engine: 'containerd',
    files: {},
    major: 1,
    becomes: {
      [hub]: freshHub,
      [rest]: freshRest,
      [config]: `version = 2\n\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${certs}"\n`,
    },
    effect: 'restart',
  },
  {
    what: 'containerd 2: nothing there',
    engine: 'containerd',
    files: {},
    major: 2,
    becomes: {
      [hub]: freshHub,
      [rest]: freshRest,
      [config]: `version = 3\n\n[plugins."io.containerd.cri.v1.images".registry]\n  config_path = "${certs}"\n`,
    },
    effect: 'restart',
  },
  {
    what: "containerd: Docker's package, with Kubernetes' half switched off and the rest in comments",
    engine: 'containerd',
    files: { [config]: '#   Copyright\n\ndisabled_plugins = ["cri"]\n\n#root = "/var/lib/containerd"\n#[grpc]\n' },
    becomes: { [hub]: freshHub, [rest]: freshRest },
    effect: 'none',
  },
  {
    what: "containerd 1: Debian's, commented, with other tables after the place",
    engine: 'containerd',
    files: {
      [config]:
        'version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni" # here\n',
    },
    major: 1,
    becomes: {
      [hub]: freshHub,
      [rest]: freshRest,
      [config]: `version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni" # here\n\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${certs}"\n`,
    },
    effect: 'restart',
  },
  {
    what: 'containerd 1: `config default`, with an empty config_path among tables of its own',
    engine: 'containerd',
    files: {
      [config]:
        "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\n  config_path = \"\" # none\n\n  [plugins.'io.containerd.grpc.v1.cri'.registry.mirrors]\n",
    },
    becomes: {
      [hub]: freshHub,
      [rest]: freshRest,
      [config]: `version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\n  config_path = "${certs}" # none\n\n  [plugins.'io.containerd.grpc.v1.cri'.registry.mirrors]\n`,
    },
    effect: 'restart',
  },
  {
    what: 'containerd 2: a registry table with a comment behind its header and no config_path',
    engine: 'containerd',
    files: {
      [config]:
        "version = 3\r\n[plugins.'io.containerd.cri.v1.images'.registry] # ours\r\n    max = 3\r\n[debug]\r\nlevel = 'info'\r\n",
    },
    major: 2,
    becomes: {
      [hub]: freshHub,
      [rest]: freshRest,
      [config]: `version = 3\r\n[plugins.'io.containerd.cri.v1.images'.registry] # ours\r\n    config_path = "${certs}"\r\n    max = 3\r\n[debug]\r\nlevel = 'info'\r\n`,
    },
    effect: 'restart',
  },
  {
    what: 'containerd 1: a file of the first version',
    engine: 'containerd',
    files: { [config]: 'root = "/data"\n' },
    becomes: {
      [hub]: freshHub,
      [rest]: freshRest,
      [config]: `root = "/data"\n\n[plugins.cri.registry]\n  config_path = "${certs}"\n`,
    },
    effect: 'restart',
  },
  {
    what: 'containerd: config_path in an imported file, with other registries, a mirror and its headers',
    engine: 'containerd',
    files: {
      [config]: 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n',
      '/etc/containerd/conf.d/registry.toml':
        '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/registries"\n',
      '/srv/registries/docker.io/hosts.toml':
        '# as IT wants it\nserver = "https://docker.io"\n\n# the mirror of the house\n[host."https://mirror.corp"]\n  capabilities = ["pull"]\n  [host."https://mirror.corp".header]\n    x-team = "ours"\n',
      '/srv/registries/registry.corp/hosts.toml': 'server = "https://registry.corp"\n',
    },
    becomes: {
      '/srv/registries/docker.io/hosts.toml': `# as IT wants it\nserver = "https://docker.io"\n\n${freshRest}\n# the mirror of the house\n[host."https://mirror.corp"]\n  capabilities = ["pull"]\n  [host."https://mirror.corp".header]\n    x-team = "ours"\n`,
      '/srv/registries/_default/hosts.toml': freshRest,
    },
    effect: 'none',
  },
  {
    what: 'containerd: our host there, after another one and with more to it',
    engine: 'containerd',
    files: {
      [config]: `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${certs}"\n`,
      [hub]: `[host."https://mirror.corp"]\n\n[host."${local}"]\n  capabilities = ["pull"] # not tags\n`,
      [rest]: freshRest,
    },
    becomes: {
      [hub]: `[host."${local}"]\n  capabilities = ["pull"] # not tags\n\n${host(standby)}\n[host."https://mirror.corp"]\n\n`,
    },
    effect: 'none',
  },
  {
    what: 'containerd: a registry by name that has a folder with certificates',
    engine: 'containerd',
    files: {
      [config]: `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${certs}"\n`,
      [`${certs}/registry.corp/ca.crt`]: 'PEM',
    },
    registries: ['registry.corp'],
    becomes: /has certificates \(ca\.crt\).*nothing was changed/,
  },
  {
    what: 'containerd: hosts in one line',
    engine: 'containerd',
    files: { [config]: 'disabled_plugins = ["cri"]\n', [hub]: 'host = { "https://mirror.corp" = {} }\n' },
    becomes: /hosts that are not tables of their own.*nothing was changed/,
  },
  {
    what: 'containerd: mirrors in config.toml, beside which it takes no config_path',
    engine: 'containerd',
    files: {
      [config]:
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://mirror.corp"]\n',
    },
    becomes: /has registry\.mirrors, which containerd does not take beside config_path; move them/,
  },
  {
    what: 'containerd: a registry in one line',
    engine: 'containerd',
    files: { [config]: 'version = 2\n[plugins]\n"io.containerd.grpc.v1.cri" = { registry = {} }\n' },
    becomes: /cannot be edited without changing more.*by hand/,
  },
  {
    what: 'containerd: a broken config.toml',
    engine: 'containerd',
    files: { [config]: 'version = 2\n[plugins\n' },
    becomes: /config\.toml line 3: .*nothing was changed: mend it/,
  },
  {
    what: 'podman: nothing there',
    engine: 'podman',
    files: {},
    registries: ['docker.io', 'ghcr.io'],
    becomes: { [dropIn]: `${entry('docker.io')}\n${entry('ghcr.io')}` },
    effect: 'none',
  },
  {
    what: "CRI-O: Debian's commented registries.conf, and a drop-in for short names",
    engine: 'cri-o',
    files: {
      [main]: '# [[registry]]\n# location = "docker.io"\nunqualified-search-registries = ["docker.io"]\n',
      '/etc/containers/registries.conf.d/shortnames.conf': '[aliases]\n"debian" = "docker.io/library/debian"\n',
    },
    registries: ['docker.io'],
    becomes: { [dropIn]: entry('docker.io') },
    effect: 'reload',
  },
  {
    what: 'podman: a registry with a mirror in registries.conf is edited there',
    engine: 'podman',
    files: {
      [main]:
        '[[registry]]\nprefix = "docker.io" # the hub\nlocation = "hub.corp/dockerhub"\n\n# the house\n[[registry.mirror]]\nlocation = "mirror.corp"\n\n[[registry]]\nlocation = "quay.io"\n',
    },
    registries: ['docker.io'],
    becomes: {
      [main]: `[[registry]]\nprefix = "docker.io" # the hub\nlocation = "hub.corp/dockerhub"\n\n${mirrors('hub.corp/dockerhub')}\n# the house\n[[registry.mirror]]\nlocation = "mirror.corp"\n\n[[registry]]\nlocation = "quay.io"\n`,
    },
  },
  {
    what: 'podman: a registry without mirrors between others, by Windows line ends',
    engine: 'podman',
    files: { [main]: '[[registry]]\r\nlocation = "docker.io"\r\n\r\n[[registry]]\r\nlocation = "quay.io"' },
    registries: ['quay.io'],
    becomes: {
      [main]: `[[registry]]\r\nlocation = "docker.io"\r\n\r\n[[registry]]\r\nlocation = "quay.io"\r\n\r\n${mirrors('quay.io').replaceAll('\n', '\r\n')}`,
    },
  },
  {
    what: 'podman: the drop-in of an earlier run',
    engine: 'podman',
    files: { [dropIn]: entry('docker.io') },
    registries: ['docker.io'],
    becomes: {},
  },
  {
    what: 'podman: the first form of registries.conf',
    engine: 'podman',
    files: { [main]: '[registries.search]\nregistries = ["docker.io"]\n' },
    becomes: /first form of that file.*nothing was changed/,
  },
  {
    what: 'podman: mirrors in one line',
    engine: 'podman',
    files: { [main]: '[[registry]]\nlocation = "docker.io"\nmirror = [{ location = "mirror.corp" }]\n' },
    becomes: /has the mirrors of docker\.io in one line.*nothing was changed/,
  },
  {
    what: 'podman: a registry that is blocked stays blocked',
    engine: 'podman',
    files: { [main]: '[[registry]]\nlocation = "docker.io"\nblocked = true\n' },
    registries: ['docker.io'],
    becomes: {},
  },
]
