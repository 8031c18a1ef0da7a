/**
 * Measures on a host of a lab how long answers take to begin: asks each URL in turn on one connection, reads the answer
 * to its end, and prints the ms from request to first byte of each as JSON.
 *
 * usage: bun first-byte-client.ts COUNT URL...
 */
import { Agent, get } from 'node:http'

const [count, ...urls] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 1 })

function firstByte(url: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const began = performance.now()
  const request = get(url, { agent }, (response) => {
    const took = performance.now() - began
    if (response.statusCode !== 200) return reject(new Error(`${url}: ${response.statusCode}`))
    response.on('data', () => {})
    response.on('error', reject)
    response.on('end', () => resolve(took))
  })
  request.on('error', reject)
  return promise
}

const took: number[] = []
for (let i = 0; i < Number(count); i++) took.push(await firstByte(urls[i % urls.length]!))
console.log(JSON.stringify(took))
process.exit(0)
