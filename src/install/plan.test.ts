import { expect, describe as suite, test } from 'bun:test'
import { type Found, installPlan, uninstallPlan, type Wanted } from './plan.ts'
import { resting } from './running.ts'
import { describe } from './step.ts'

const fresh: Wanted = {
  systemd: 'running',
  binarySame: false,
  user: undefined,
  settingsDir: undefined,
  settings: { before: undefined, after: 'mode: peer\n' },
  copies: [],
  record: undefined,
  dataDir: '/var/lib/shoal',
  backends: [],
  dropIn: undefined,
  engineDropIn: undefined,
  unit: { before: undefined, after: '[Unit]\n' },
  running: resting,
  start: true,
}

/** The same host once that was carried out. */
const installed: Wanted = {
  ...fresh,
  binarySame: true,
  user: { uid: 990, gid: 990 },
  settingsDir: { mode: 0o755, uid: 0, gid: 0 },
  settings: { before: 'mode: peer\n', after: 'mode: peer\n' },
  record: 'shoal.yaml\nuser/shoal\n',
  unit: { before: '[Unit]\n', after: '[Unit]\n' },
  running: { ...resting, active: true, pid: 7 },
}

const said = (wanted: Wanted) => installPlan(wanted).map(describe)
const useradd =
  'run useradd --system --user-group --home-dir /var/lib/shoal --no-create-home --shell /usr/sbin/nologin shoal'

suite('an installation', () => {
  test('brings binary, user, settings and unit, and starts it', () => {
    expect(said(fresh)).toEqual([
      'put this binary at /usr/local/bin/shoal',
      'make /etc/shoal',
      useradd,
      'write /etc/shoal/.installed',
      'write /etc/shoal/shoal.yaml',
      'write /etc/systemd/system/shoal.service',
      'run systemctl daemon-reload',
      'run systemctl enable shoal.service',
      'run systemctl restart shoal.service',
    ])
  })

  test('a second time changes nothing and restarts nothing', () => {
    expect(said(installed)).toEqual(['run systemctl enable shoal.service'])
    expect(said({ ...installed, running: resting })).toContain('run systemctl restart shoal.service')
  })

  test('opens a settings folder that was there and is shut to the service, which has read none of it till then', () => {
    const shut = { mode: 0o700, uid: 0, gid: 0 }
    const opened = 'let the service into /etc/shoal: mode 0710, group shoal'
    const steps = said({ ...fresh, settingsDir: shut })
    expect(steps.slice(1, 4)).toEqual([useradd, 'write /etc/shoal/.installed', opened])
    expect(steps).not.toContain('make /etc/shoal')
    expect(said({ ...installed, settingsDir: shut })).toEqual([
      opened,
      'run systemctl enable shoal.service',
      'run systemctl restart shoal.service',
    ])
    expect(said({ ...installed, settingsDir: { mode: 0o710, uid: 0, gid: 990 } })).toEqual([
      'run systemctl enable shoal.service',
    ])
    // Whoever runs it there is root.
    expect(said({ ...installed, systemd: 'absent', settingsDir: shut })).toEqual([])
  })

  test('of another version replaces the binary and restarts', () => {
    expect(said({ ...installed, binarySame: false })).toEqual([
      'put this binary at /usr/local/bin/shoal',
      'run systemctl enable shoal.service',
      'run systemctl restart shoal.service',
    ])
  })

  test('restarts what runs another program than the one that somebody put into its place', () => {
    const running = { ...installed.running, outdated: true }
    const restart = 'run systemctl restart shoal.service'
    expect(said({ ...installed, running })).toEqual(['run systemctl enable shoal.service', restart])
    expect(said({ ...installed, running, start: false })).not.toContain(restart)
  })

  test('that broke off before systemd had read the unit is brought to its end', () => {
    expect(said({ ...installed, running: { ...installed.running, unread: true } })).toEqual([
      'run systemctl daemon-reload',
      'run systemctl enable shoal.service',
      'run systemctl restart shoal.service',
    ])
  })

  test('without systemd is binary and settings, and with one that does not run it is enabled only', () => {
    expect(said({ ...fresh, systemd: 'absent' })).toEqual([
      'put this binary at /usr/local/bin/shoal',
      'make /etc/shoal',
      'write /etc/shoal/.installed',
      'write /etc/shoal/shoal.yaml',
    ])
    expect(said({ ...fresh, systemd: 'present' }).filter((step) => step.includes('systemctl'))).toEqual([
      'run systemctl enable shoal.service',
    ])
  })

  test('gives the service the secrets that it needs, and records those it brought', () => {
    const copies = [
      { from: '/root/key', path: '/etc/shoal/cluster.key' },
      { from: '/etc/shoal/ca.pem', path: '/etc/shoal/ca.pem' },
    ]
    const steps = installPlan({ ...fresh, copies })
    expect(steps.map(describe)).toContain('copy /root/key to /etc/shoal/cluster.key, readable for the group shoal')
    expect(steps.map(describe)).toContain('leave /etc/shoal/ca.pem, readable for the group shoal')
    expect(steps.find((step) => step.do === 'write' && step.path.endsWith('.installed'))).toMatchObject({
      text: 'cluster.key\nshoal.yaml\nuser/shoal\n',
    })
  })

  test('has recorded that it made the user as soon as it did, and what it brings before it does', () => {
    const copies = [{ from: '/root/key', path: '/etc/shoal/cluster.key' }]
    for (const settingsDir of [undefined, { mode: 0o700, uid: 0, gid: 0 }]) {
      const steps = said({ ...fresh, settingsDir, copies })
      const record = steps.indexOf('write /etc/shoal/.installed')
      expect(steps[record - 1]).toBe(useradd)
      expect(steps.findIndex((step) => step.startsWith('copy '))).toBeGreaterThan(record)
    }
  })

  test('records that it made the user, and of one that was there nothing', () => {
    const recordOf = (wanted: Wanted) =>
      installPlan(wanted).find((step) => step.do === 'write' && step.path.endsWith('.installed'))
    expect(recordOf(fresh)).toMatchObject({ text: 'shoal.yaml\nuser/shoal\n' })
    expect(recordOf({ ...fresh, user: { uid: 990, gid: 990 } })).toMatchObject({ text: 'shoal.yaml\n' })
    expect(recordOf({ ...fresh, systemd: 'absent' })).toMatchObject({ text: 'shoal.yaml\n' })
    // After --keep-data: user and record are as they were.
    const kept = { ...installed, unit: fresh.unit, binarySame: false }
    expect(recordOf(kept)).toBeUndefined()
  })

  test('with data elsewhere makes that writable for the service, and takes that back when it is not any more', () => {
    const elsewhere = { ...fresh, dataDir: '/srv/100%' }
    expect(said(elsewhere)).toContain('make /srv/100% for shoal, who gets what a node has left there')
    const dropIn = '[Service]\nReadWritePaths=/srv/100%%\n'
    expect(installPlan(elsewhere)).toContainEqual({
      do: 'write',
      path: '/etc/systemd/system/shoal.service.d/data-dir.conf',
      text: dropIn,
    })
    const backends = ['/srv/images']
    expect(said({ ...installed, backends })).toContain('write /etc/systemd/system/shoal.service.d/data-dir.conf')
    expect(said({ ...installed, dropIn })).toContain('remove /etc/systemd/system/shoal.service.d/data-dir.conf')
  })
})

suite('blobs of the engine, where the operator says where they are', () => {
  const path = '/etc/systemd/system/shoal.service.d/engine-content.conf'
  const text = '[Service]\nBindReadOnlyPaths=-/data/50%%/blobs:/run/shoal-engine/blobs\n'

  test('are shown to the service where it can read them, and nothing else of the engine', () => {
    const plan = installPlan({ ...fresh, engineBlobs: '/data/50%/blobs' })
    expect(plan).toContainEqual({ do: 'write', path, text })
    const again = { ...installed, engineBlobs: '/data/50%/blobs', engineDropIn: text }
    expect(said(again)).toEqual(['run systemctl enable shoal.service'])
  })

  test('are not any more when they are not named any more', () => {
    expect(said({ ...installed, engineDropIn: text })).toContain(`remove ${path}`)
  })

  test('are nothing that is shown unasked', () => {
    expect(said(fresh).join()).not.toContain('engine')
  })
})

const there: Found = {
  systemd: 'running',
  binary: true,
  unit: true,
  dropIns: undefined,
  user: true,
  settingsDir: ['.installed', 'shoal.yaml'],
  record: 'shoal.yaml\nuser/shoal\n',
  undo: undefined,
  data: [
    {
      path: '/var/lib/shoal',
      names: ['blobs', 'making', 'node.key', 'shoal.db', 'shoal.db-wal', 'shoal.layers.db', 'shoal.spare'],
    },
  ],
  keepData: false,
}

suite('a removal', () => {
  test('stops the service and leaves nothing', () => {
    const { steps, left } = uninstallPlan(there)
    expect(left).toEqual([])
    expect(steps.map(describe)).toEqual([
      'run systemctl disable --now shoal.service',
      'remove /etc/systemd/system/shoal.service',
      ...['blobs', 'making', 'node.key', 'shoal.db', 'shoal.db-wal', 'shoal.layers.db', 'shoal.spare'].map(
        (name) => `remove /var/lib/shoal/${name}`,
      ),
      'remove /var/lib/shoal, then empty',
      'run systemctl daemon-reload',
      'run systemctl reset-failed shoal.service',
      'run userdel shoal',
      'remove /etc/shoal/shoal.yaml',
      'remove /etc/shoal/.installed',
      'remove /etc/shoal, then empty',
      'remove /usr/local/bin/shoal',
    ])
  })

  test('that broke off is brought to its end: the record is there until all is done that it is needed for', () => {
    const settingsDir = ['.installed', 'cluster.key', 'shoal.yaml']
    const { steps } = uninstallPlan({ ...there, settingsDir, record: 'cluster.key\nshoal.yaml\nuser/shoal\n' })
    expect(steps.map(describe).slice(-5)).toEqual([
      'remove /etc/shoal/cluster.key',
      'remove /etc/shoal/shoal.yaml',
      'remove /etc/shoal/.installed',
      'remove /etc/shoal, then empty',
      'remove /usr/local/bin/shoal',
    ])
  })

  test('keeps data and settings, and the user who owns them, on demand', () => {
    const { steps, left } = uninstallPlan({ ...there, keepData: true })
    expect(left).toContain('/var/lib/shoal/node.key')
    expect(left).toContain('/etc/shoal/shoal.yaml')
    const said = steps.map(describe).join('\n')
    expect(said).not.toContain('/var/lib/shoal')
    expect(said).not.toContain('userdel')
  })

  test('removes the user when it made it, also where only the data is left of it', () => {
    const removes = (found: Partial<Found>) =>
      uninstallPlan({ ...there, ...found })
        .steps.map(describe)
        .includes('run userdel shoal')
    expect([removes({}), removes({ unit: false, binary: false })]).toEqual([true, true])
    expect([removes({ user: false }), removes({ record: undefined }), removes({ record: 'shoal.yaml\n' })]).toEqual([
      false,
      false,
      false,
    ])
  })

  test('leaves a user that it did not make, or that an earlier version may have made, and says so', () => {
    const left = (found: Partial<Found>) => uninstallPlan({ ...there, ...found }).left
    const said = 'the user shoal: no record says that shoal install made it (userdel shoal removes it)'
    expect(left({ record: 'shoal.yaml\n' })).toEqual([said])
    expect(left({ record: undefined, settingsDir: undefined })).toEqual([said])
    expect(left({ record: undefined, settingsDir: undefined, unit: false })).toEqual([])
    expect(left({ record: 'shoal.yaml\n', keepData: true }).join()).not.toContain('user')
  })

  test('leaves what is not its own, and says so', () => {
    const found: Found = {
      ...there,
      settingsDir: ['.installed', 'cluster.key', 'shoal.yaml'],
      data: [
        { path: '/srv', names: ['blobs', 'node.key', 'photos', 'shoaling'] },
        { path: '/var/lib/shoal', names: [] },
      ],
      dropIns: ['data-dir.conf', 'engine-content.conf', 'override.conf'],
    }
    const { steps, left } = uninstallPlan(found)
    expect(left).toEqual([
      '/etc/systemd/system/shoal.service.d/override.conf',
      '/srv/photos',
      '/srv/shoaling',
      '/etc/shoal/cluster.key',
    ])
    expect(steps.filter((step) => step.do === 'remove-directory').map(describe)).toEqual([
      'remove /var/lib/shoal, then empty',
    ])
    const said = steps.map(describe)
    const taken = ['/srv', '/etc/shoal', '/etc/shoal/cluster.key'].map((path) => `take ${path} back from shoal`)
    const userdel = said.indexOf('run userdel shoal')
    expect(said.slice(userdel - 3, userdel)).toEqual(taken)
    expect(uninstallPlan({ ...found, keepData: true }).steps.some((step) => step.do === 'disown')).toBe(false)
  })

  test('leaves what engines had before, as long as that was not put back', () => {
    const settingsDir = ['shoal.yaml', 'undo']
    expect(uninstallPlan({ ...there, settingsDir, undo: ['docker'] }).left).toEqual(['/etc/shoal/undo'])
    const { steps, left } = uninstallPlan({ ...there, settingsDir, undo: [] })
    expect(left).toEqual([])
    expect(steps.map(describe)).toContain('remove /etc/shoal/undo, then empty')
  })

  test('of nothing is nothing', () => {
    const found = { ...there, binary: false, unit: false, user: false, settingsDir: undefined, record: undefined }
    expect(uninstallPlan({ ...found, data: [{ path: '/var/lib/shoal', names: undefined }] }).steps).toEqual([])
  })
})
