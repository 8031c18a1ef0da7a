import { expect, describe as suite, test } from 'bun:test'
import { resting } from './running.ts'
import { type SnapshotterWanted, snapshotterPlan, snapshotterRemoval } from './snapshotter-plan.ts'
import { describe } from './step.ts'

const same = { before: 'unit', after: 'unit' }
const active = { ...resting, active: true, pid: 7 }
const fresh: SnapshotterWanted = {
  systemd: 'running',
  binarySame: false,
  units: { mounter: { before: undefined, after: 'm' }, snapshotter: { before: undefined, after: 's' } },
  running: { mounter: resting, snapshotter: resting },
  start: true,
}
const installed: SnapshotterWanted = {
  ...fresh,
  binarySame: true,
  units: { mounter: same, snapshotter: same },
  running: { mounter: active, snapshotter: active },
}
const said = (wanted: SnapshotterWanted) => snapshotterPlan(wanted).map(describe)
const enable = 'run systemctl enable shoal-mounter.service shoal-snapshotter.service'

suite('an installation of the snapshotter', () => {
  test('brings both units, and starts the mounter before the snapshotter', () => {
    expect(said(fresh)).toEqual([
      'write /etc/systemd/system/shoal-mounter.service',
      'write /etc/systemd/system/shoal-snapshotter.service',
      'run systemctl daemon-reload',
      enable,
      'run systemctl start shoal-mounter.service',
      'run systemctl restart shoal-snapshotter.service',
    ])
  })

  test('of another version has the mounter become it, with its mounts, and never restarts it', () => {
    expect(said({ ...installed, binarySame: false })).toEqual([
      enable,
      'run systemctl reload shoal-mounter.service',
      'run systemctl restart shoal-snapshotter.service',
    ])
    const changed = { ...installed, units: { mounter: { before: 'old', after: 'new' }, snapshotter: same } }
    expect(said(changed).join()).not.toContain('restart')
  })

  test('has each become the program that somebody put into its place', () => {
    const outdated = { ...active, outdated: true }
    const given = (mounter: typeof active, snapshotter: typeof active) =>
      said({ ...installed, running: { mounter, snapshotter } })
    expect(given(outdated, active)).toEqual([enable, 'run systemctl reload shoal-mounter.service'])
    expect(given(active, outdated)).toEqual([enable, 'run systemctl restart shoal-snapshotter.service'])
  })

  test('that broke off before systemd had read the units is brought to its end, and the mounter runs on', () => {
    const unread = { ...active, unread: true }
    const reload = 'run systemctl daemon-reload'
    const given = (mounter: typeof active, snapshotter: typeof active) =>
      said({ ...installed, running: { mounter, snapshotter } })
    expect(given(unread, active)).toEqual([reload, enable])
    expect(given(active, unread)).toEqual([reload, enable, 'run systemctl restart shoal-snapshotter.service'])
  })

  test('a second time starts nothing that runs', () => {
    expect(said(installed)).toEqual([enable])
    expect(said({ ...installed, running: { mounter: active, snapshotter: resting } })).toEqual([
      enable,
      'run systemctl restart shoal-snapshotter.service',
    ])
  })

  test('starts nothing where it shall not, or where systemd does not run, and does nothing without', () => {
    expect(said({ ...fresh, start: false }).join()).not.toMatch(/ (re)?start /)
    expect(said({ ...fresh, systemd: 'present' }).slice(2)).toEqual([enable])
    expect(said({ ...fresh, systemd: 'absent' })).toEqual([])
  })
})

suite('a removal of the snapshotter', () => {
  const found = {
    systemd: 'running',
    mounterUnit: true,
    snapshotterUnit: true,
    data: [{ path: '/var/lib/shoal-mounter', names: ['layers'] }],
    keepData: false,
  } as const

  test('ends the snapshotter before the mounter, and removes what is theirs', () => {
    expect(snapshotterRemoval(found).map(describe)).toEqual([
      'run systemctl disable --now shoal-snapshotter.service',
      'run systemctl disable --now shoal-mounter.service',
      'remove /etc/systemd/system/shoal-snapshotter.service',
      'remove /etc/systemd/system/shoal-mounter.service',
      'run systemctl daemon-reload',
      'remove /var/lib/shoal-mounter/layers',
      'remove /var/lib/shoal-mounter, then empty',
    ])
  })

  test('ends a mounter that no unit runs before its data goes, whether that goes or not', () => {
    const end = 'end the idle mounter, process 7'
    const alone = { ...found, mounterUnit: false, snapshotterUnit: false, idleMounter: 7 }
    expect(snapshotterRemoval(alone).map(describe)).toEqual([
      end,
      'remove /var/lib/shoal-mounter/layers',
      'remove /var/lib/shoal-mounter, then empty',
    ])
    expect(snapshotterRemoval({ ...alone, keepData: true }).map(describe)).toEqual([end])
  })

  test('leaves data where it is to be kept, and does nothing where nothing is', () => {
    expect(
      snapshotterRemoval({ ...found, keepData: true })
        .map(describe)
        .join(),
    ).not.toContain('/var/lib')
    expect(snapshotterRemoval({ ...found, mounterUnit: false, snapshotterUnit: false, data: [] })).toEqual([])
  })
})
