/**
 * The dashboard at `/ui`: one page, all of it in the binary. It holds nothing of the node's; what it shows it asks of the
 * API, with the token where there is one, so the page itself is for anybody.
 */
import { Hono } from 'hono'
import { bundlePage } from './bundle.ts' with { type: 'macro' }

const { html, script, style, icon } = bundlePage()

const files: Record<string, { readonly type: string; readonly text: string }> = {
  'page.js': { type: 'text/javascript; charset=utf-8', text: script },
  'page.css': { type: 'text/css; charset=utf-8', text: style },
  'icon.svg': { type: 'image/svg+xml', text: icon },
}

/** Nothing from elsewhere, nothing inline, in no other page's frame. */
export const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export function dashboard(): Hono {
  const app = new Hono()
  app.get('/', (c) => c.redirect('/ui', 302))
  app.get('/ui', ({ req }) => answer(req.header('if-none-match'), 'text/html; charset=utf-8', html))
  app.get('/ui/:file', ({ req }) => {
    const file = Object.hasOwn(files, req.param('file')) ? files[req.param('file')] : undefined
    if (file) return answer(req.header('if-none-match'), file.type, file.text)
    return Response.json(
      { error: { code: 'no-route', message: `${req.path} is not part of the page` } },
      { status: 404 },
    )
  })
  return app
}

/** Asked for each time, sent once: a node that was upgraded has another page. */
function answer(known: string | undefined, type: string, text: string): Response {
  const etag = `"${Bun.hash(text).toString(36)}"`
  const headers = {
    etag,
    'cache-control': 'no-cache',
    'content-security-policy': contentPolicy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
  }
  if (known === etag) return new Response(null, { status: 304, headers })
  return new Response(text, { headers: { ...headers, 'content-type': type } })
}
