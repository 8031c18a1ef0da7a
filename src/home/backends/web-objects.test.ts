/** A directory in the layout, behind a server of files. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, normalize } from 'node:path'
import { backendConformance } from '../../../test/conformance/backend.ts'
import { webOptions } from '../../../test/fakes/web-options.ts'
import { backendOf } from './backend-of.ts'

backendConformance('a web server', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'shoal-web-'))
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const path = normalize(decodeURIComponent(new URL(request.url).pathname))
      if (!path.startsWith('/images/')) return new Response('no such file', { status: 404 })
      const file = Bun.file(join(dir, path.slice('/images/'.length)))
      return (await file.exists()) ? new Response(file) : new Response('no such file', { status: 404 })
    },
  })
  return {
    again: () => backendOf(`http://127.0.0.1:${server.port}/images`, webOptions()),
    through: backendOf(`file://${dir}`, webOptions()),
    lists: false,
    async stop() {
      await server.stop(true)
      await rm(dir, { recursive: true, force: true })
    },
  }
})
