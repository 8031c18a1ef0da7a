/** The dashboard in a real browser: on a node in the middle of a pull by eight hosts, and with answers made for it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AdminServer, createAdmin, serveAdmin } from '../../src/admin/admin.ts'
import { systemClock } from '../../src/clock.ts'
import { Secret } from '../../src/config/secret.ts'
import { Failure } from '../../src/failure.ts'
import { Mounted } from '../../src/lazy/mounted.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { dashboard } from '../../src/ui/dashboard.ts'
import { FakeNodeView } from '../fakes/node-view.ts'
import { told } from '../fakes/told.ts'
import { Browser, type BrowserPage, desk, night, phone, picture } from '../lab/browser.ts'
import { allModes, Cluster } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import { until } from '../lab/until.ts'

const obstacle = Browser.obstacle() ?? (await Lab.obstacle())
if (obstacle) console.log(`skipped: the dashboard in a browser: ${obstacle}`)

const liar = `12D3KooW${'A'.repeat(44)}`

describe.skipIf(obstacle !== undefined)('with answers made for it', () => {
  const token = 'correct-horse-battery'
  let dir: string
  let browser: Browser
  let view: FakeNodeView
  let server: AdminServer
  let at: BrowserPage
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-ui-'))
    browser = await Browser.launch(dir)
  }, 180_000)
  afterAll(async () => {
    await browser?.close()
    rmSync(dir, { recursive: true, force: true })
  })
  beforeEach(() => {
    view = new FakeNodeView()
  })
  afterEach(async () => {
    await at?.close()
    await server?.close()
  })

  async function open(options: { token?: Secret } = {}): Promise<void> {
    const app = createAdmin(view, createMetrics(), { log: silentLog, pages: dashboard(), ...options })
    server = serveAdmin(app, { host: '127.0.0.1', port: 0 })
    at = await browser.open(`http://127.0.0.1:${server.address.port}/`)
  }

  test('a token is asked once, kept for the tab, and a wrong one is said to be wrong', async () => {
    await open({ token: new Secret(token) })
    const { page } = at
    const asked = page.getByLabel('Token', { exact: true })
    await asked.fill('wrong-horse-battery')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText('not the token').waitFor()
    expect(await at.violations('dialog')).toEqual([])
    await asked.fill(token)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Blobs' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'Blobs' }).waitFor()
    expect(await asked.count()).toBe(0)
    // What the browser says of an answer that is 401 is what it should say.
    expect(at.errors.filter((error) => !error.includes('401'))).toEqual([])
  }, 180_000)

  test('a blob is found and removed by keyboard alone, and one that is pinned says so and stays', async () => {
    await open()
    const { page } = at
    await page.getByRole('searchbox', { name: 'Search blobs' }).fill('ghcr.io')
    const rows = page.getByRole('region', { name: 'Blobs' }).last().locator('tbody tr')
    await until('two are left', 40, async () => (await rows.count()) === 2)
    const remove = view.removeBlob.bind(view)
    view.removeBlob = (digest) =>
      Promise.reject(new Failure('pinned', `${digest} is pinned for ever: unpin that first`))
    await rows.first().getByRole('button').focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Remove' }).focus()
    await page.keyboard.press('Enter')
    await dialog.getByText('unpin that first').waitFor()
    expect(await at.violations('dialog')).toEqual([])
    view.removeBlob = remove
    await dialog.getByRole('button', { name: 'Remove' }).press('Enter')
    await dialog.waitFor({ state: 'detached' })
    await until('one is left', 40, async () => (await rows.count()) === 1)
    await rows.first().getByRole('button').press('Enter')
    await dialog.waitFor()
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    expect(view.stored.size).toBe(2)
    expect(at.errors.filter((error) => !error.includes('409'))).toEqual([])
  }, 180_000)

  test('a ban is lifted, a preheat is cancelled, and a node that does not answer any more is not taken for one that is well', async () => {
    view.banned.push(liar)
    await view.preheats.start({ what: ['debian:13'], platforms: 'all', target: { scope: 'all' } })
    await open()
    const { page } = at
    const faults = page.getByRole('region', { name: 'Bans and faults' })
    const lift = view.liftBan.bind(view)
    view.liftBan = () => {
      throw new Failure('unavailable', 'the disk takes nothing')
    }
    await faults.getByRole('button', { name: /^Lift the ban/ }).click()
    await faults.getByRole('alert').getByText('the disk takes nothing').waitFor()
    // Longer than the page waits until it asks again.
    await Bun.sleep(3000)
    expect(await faults.getByRole('alert').textContent()).toBe('the disk takes nothing')
    expect(await page.getByText('no answer', { exact: true }).count()).toBe(0)
    view.liftBan = lift
    await faults.getByRole('button', { name: /^Lift the ban/ }).click()
    await until('it is lifted', 40, () => view.banned.length === 0)
    expect(await faults.getByRole('alert').count()).toBe(0)
    const preheats = page.getByRole('region', { name: 'Preheats' })
    await preheats.getByText('0 of 2 nodes have it').waitFor()
    await preheats.getByRole('button', { name: 'Cancel preheat 1' }).click()
    await preheats.getByText('cancelled, 0 of 2 nodes have it').waitFor()
    expect(await at.violations('[aria-labelledby=preheats]')).toEqual([])
    await page.getByText('ready', { exact: true }).waitFor()
    await server.close()
    await page.getByText('no answer', { exact: true }).waitFor()
  }, 180_000)

  test('the choice of dark or light is kept, axe finds nothing in the dark, and a phone is wide enough', async () => {
    view.banned.push(liar)
    const mounted = new Mounted(systemClock, createMetrics())
    mounted.hear(told({ mounts: 2, layers: 3 }))
    view.mountedNow = mounted.facts()
    await open()
    const { page } = at
    await page.getByRole('region', { name: 'Mounts' }).getByText('3 layers of snapshotter').waitFor()
    expect(await at.violations('[aria-labelledby=mounts]')).toEqual([])
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor') as Promise<string>
    await page.getByText('Said lately').waitFor()
    const light = await ground()
    await page.getByRole('radio', { name: 'Dark' }).check({ force: true })
    const dark = await ground()
    expect(dark).not.toBe(light)
    expect(await at.violations()).toEqual([])
    await page.reload()
    await page.getByText('Said lately').waitFor()
    expect(await ground()).toBe(dark)
    await page.getByRole('radio', { name: 'Light' }).check({ force: true })
    await at.look(phone)
    expect([await ground(), await at.overflow()]).toEqual([light, 0])
    expect(at.errors).toEqual([])
  }, 180_000)
})

describe.skipIf(obstacle !== undefined)('on a node of eight', () => {
  let swarm: Cluster
  let browser: Browser
  let at: BrowserPage
  beforeAll(async () => {
    // Long enough for all that is looked at below on a busy machine. Then it is hurried up.
    swarm = await Cluster.create({ members: allModes(8), discovery: 'join', size: 20e6, layers: 2, rate: '4mbit' })
    await swarm.start()
    const host = swarm.lab.host('host1')
    browser = await Browser.launch(swarm.lab.dir, host)
    at = await browser.open(`${swarm.node('host1').admin}/ui`, night)
  }, 180_000)
  afterAll(async () => {
    await browser?.close()
    await swarm?.close()
  })

  test('before anything is pulled, all are there and nothing moves', async () => {
    const { page } = at
    await page.getByText('Nothing moves right now.').waitFor()
    await page.getByText('The store is empty.', { exact: false }).waitFor()
    const members = page.getByRole('region', { name: 'Members' }).last().locator('tbody tr')
    await until('eight members', 60, async () => (await members.count()) === 8)
    await picture(at, 'idle-dark')
  }, 180_000)

  test('a pull by all of them is visible while it happens, and what it saved when it is over', async () => {
    const { page } = at
    const pulls = Promise.all(swarm.pullers.map((name) => swarm.pull(name)))
    pulls.catch(() => {})
    await page.getByText('lab/image', { exact: false }).first().waitFor()
    const others = page.locator('.pulls h3 ~ .layers > li')
    await until('seven other hosts fetch', 60, async () => (await others.count()) === 7)
    const drawn = page.locator('.lines .peers')
    await until('many lines between nodes', 60, async () => (await drawn.count()) >= 8)
    const said = page.getByRole('img', { name: /^The swarm/ })
    const all = /8 nodes, 8 fetching, [\d.]+ [KM]iB\/s between nodes/
    await until('it is said in words', 60, async () => all.test((await said.getAttribute('aria-label')) ?? ''))
    await picture(at, 'pull-dark')
    await at.look(desk)
    await picture(at, 'pull-light')
    await at.look(phone)
    await picture(at, 'pull-phone')
    expect(await at.overflow()).toBe(0)
    await Promise.all(swarm.lab.hosts.map((host) => host.shape('400mbit')))
    await pulls
    await page.getByText('Nothing is being fetched.', { exact: false }).waitFor()
    // Eight got it, and one had to read it.
    await until('most was saved', 60, async () =>
      /8[0-9]% of .* on 8 nodes/.test((await page.locator('.tile.saved').textContent()) ?? ''),
    )
    await at.look(desk)
    await until(
      'its layers are in the store',
      20,
      async () => (await page.getByText('whole', { exact: true }).count()) >= 4,
    )
    await picture(at, 'done-light')
    await at.look(phone)
    expect(await at.violations()).toEqual([])
    expect(at.errors).toEqual([])
  }, 240_000)
})
