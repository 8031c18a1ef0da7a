/** Prints what a node and its command line answer to wrong input: for reading, when messages are being improved. */
import Table from 'cli-table3'
import { BadInput } from '../test/e2e/bad-input/table.ts'
import { failing } from './lib/options.ts'

const help = `usage: scripts/bad-input

Runs a node on loopback and prints what it answers to wrong requests, and how wrong command lines end.`

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 3)}...` : text)

/** Digests and padding say nothing past their first characters. */
const brief = (text: string) => text.replace(/([0-9a-fA-Fv]{12})[0-9a-fA-Fv]{20,}/g, '$1...')

function tableWith(head: string[], widths: number[]): Table.Table {
  return new Table({ head, colWidths: widths, wordWrap: true, style: { head: [], border: [], compact: true } })
}

/** What a person sees of it: the message in the JSON, or the header that tells most. */
function saidIn(text: string, body: string): string {
  const message = /"message":"((?:[^"\\]|\\.)*)"/.exec(body)?.[1]
  const code = /"code":"([^"]*)"/.exec(body)?.[1]
  if (message) return `${code}: ${JSON.parse(`"${message}"`)}`
  return /^(content-range|content-type|allow): .*/im.exec(text)?.[0].trim() ?? ''
}

await failing('scripts/bad-input', help, async () => {
  const bad = await BadInput.read()
  let wrong = 0
  const verdict = (right: boolean) => {
    if (!right) wrong++
    return right ? '' : 'UNEXPECTED'
  }
  try {
    await bad.start()
    const requests = tableWith(['request', 'port', 'what is sent', 'status', 'answer', ''], [26, 10, 44, 8, 70, 4])
    for (const request of bad.requests) {
      const { method = 'GET', target, headers = [], raw, port = 'registry', status, says } = request
      const answer = await bad.send(request)
      const sent = raw ? JSON.stringify(raw) : [`${method} ${target}`, ...headers].join(' | ')
      const right = answer.status === status && (!says || says.test(answer.text))
      requests.push([
        request.what,
        port,
        cut(brief(sent), 120),
        String(answer.status),
        cut(brief(saidIn(answer.text, answer.body)), 200),
        verdict(right),
      ])
    }
    console.log(requests.toString())
    const commands = tableWith(['command line', 'what is run', 'exit', 'what it says', ''], [26, 50, 6, 78, 4])
    for (const command of bad.commands) {
      const { code, text } = await bad.run(command)
      const run = [...Object.entries(command.env ?? {}).map(([k, v]) => `${k}=${v}`), 'shoal', ...command.args]
      const right = code === command.code && command.says.test(text)
      commands.push([command.what, cut(run.join(' '), 140), String(code), cut(text, 400), verdict(right)])
    }
    console.log(commands.toString())
    const rows = bad.requests.length + bad.commands.length
    console.log(
      `${rows} rows, ${wrong} unexpected; the node ${(await bad.alive()) ? 'still serves' : 'DOES NOT SERVE'}`,
    )
    if (wrong > 0) throw new Error(`${wrong} answers are not as the table has them`)
  } finally {
    await bad.close()
  }
})
