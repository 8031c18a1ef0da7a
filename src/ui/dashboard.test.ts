import { describe, expect, test } from 'bun:test'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { createAdmin } from '../admin/admin.ts'
import { Secret } from '../config/secret.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { contentPolicy, dashboard } from './dashboard.ts'

const paths = ['/ui', '/ui/page.js', '/ui/page.css', '/ui/icon.svg']
const app = dashboard()

describe('the dashboard', () => {
  test.each(paths)('%s comes whole, is not kept without asking, and lets nothing in from elsewhere', async (path) => {
    const answer = await app.request(path)
    expect(answer.status).toBe(200)
    const { headers } = answer
    expect(headers.get('content-security-policy')).toBe(contentPolicy)
    expect([headers.get('cache-control'), headers.get('x-content-type-options')]).toEqual(['no-cache', 'nosniff'])
    expect((await answer.text()).length).toBeGreaterThan(100)
    const again = await app.request(path, { headers: { 'if-none-match': headers.get('etag')! } })
    expect([again.status, await again.text()]).toEqual([304, ''])
  })

  test('asks nothing of another host, and has no script or style in its page', async () => {
    const html = await (await app.request('/ui')).text()
    expect(html).not.toMatch(/<script(?![^>]*src=)|<style|\son\w+=|\sstyle=/)
    for (const [, address] of html.matchAll(/(?:src|href)="([^"]*)"/g)) expect(paths).toContain(address!)
    expect(await (await app.request('/ui/page.css')).text()).not.toMatch(/@import|url\(/)
    expect(contentPolicy).not.toContain('unsafe')
  })

  test('is found at the root, and there is nothing else in its folder', async () => {
    const root = await app.request('/')
    expect([root.status, root.headers.get('location')]).toEqual([302, '/ui'])
    for (const name of ['nope', 'constructor', '..%2fmain.tsx'])
      expect((await app.request(`/ui/${name}`)).status).toBe(404)
  })

  test('is for anybody where a token is asked for, and what it shows is not', async () => {
    const options = { log: silentLog, pages: dashboard(), token: new Secret('correct-horse-battery') }
    const guarded = createAdmin(new FakeNodeView(), createMetrics(), options)
    for (const path of paths) expect((await guarded.request(path)).status).toBe(200)
    for (const path of ['/api/v1/node', '/api/v1/cluster', '/api/v1/history', '/api/v1/faults']) {
      expect((await guarded.request(path)).status).toBe(401)
    }
  })

  test('is not for a page of another site that got its own name to mean this host', async () => {
    const open = createAdmin(new FakeNodeView(), createMetrics(), { log: silentLog, pages: dashboard() })
    expect((await open.request('/ui', { headers: { host: 'evil.example:4883' } })).status).toBe(403)
  })
})
