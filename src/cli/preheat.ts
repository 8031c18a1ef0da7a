import { type Command, InvalidArgumentError, Option } from 'commander'
import { type PreheatAsked, type PreheatFacts, preheatSchema, preheatsSchema } from '../admin/preheats.ts'
import { pause } from '../clock.ts'
import { lifetime } from '../config/values.ts'
import { isPlatform } from '../get/platform.ts'
import { parseTarget } from '../get/target.ts'
import type { AdminClient } from './admin-client.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { PreheatBars } from './preheat-bars.ts'
import { detailText, listText, spanText, summaryText } from './preheat-text.ts'

const lookMs = 500
/** The job outlives its node's restart, and so does whoever waits for it. */
const patienceMs = 60_000

interface Options {
  readonly platform?: readonly string[]
  readonly scope: 'seeds' | 'all'
  readonly zone?: string
  readonly share?: number
  readonly pin?: string
  readonly detach?: boolean
  readonly list?: boolean
  readonly status?: number
  readonly cancel?: number
  readonly quiet?: boolean
  readonly json?: boolean
}

/** `shoal preheat` */
export function preheat(program: Command, context: Context): void {
  const command = program
    .command('preheat [what...]')
    .description('bring images and files to seeds, or to all nodes, before they are needed')
  addClientFlags(command)
    .option(
      '--platform <platform>',
      "of the images in an index: linux/arm64, repeatable, or all (default: that of the node's host)",
      collected,
    )
    .addOption(new Option('--scope <scope>', 'seeds, or all nodes').choices(['seeds', 'all']).default('seeds'))
    .option('--zone <zone>', 'only nodes in this zone: eu, eu/fra or eu/fra/r12')
    .option('--share <share>', 'only this share of them: 0.3, or 30%', checkedShare)
    .option('--pin <time>', 'keep it from eviction for so long, such as 7d', checkedTime)
    .option('--detach', 'do not wait until it is there')
    .option('--list', 'list preheats, the newest first')
    .option('--status <id>', 'show one of them, node by node', checkedId)
    .option('--cancel <id>', 'stop one of them; what it pinned is pinned no more, also afterwards', checkedId)
    .option('-q, --quiet', 'show no progress at a terminal either')
    .option('--json', 'as JSON, as the API has it')
    .action(async (what: string[], options: Options) => {
      checkUsage(command, what, options)
      const client = clientOf(command, context)
      const print = (facts: object, text: string) => context.out(options.json ? JSON.stringify(facts, null, 2) : text)
      if (options.list) {
        const facts = await client.get('/api/v1/preheats', preheatsSchema)
        print(facts, listText(facts.preheats))
      } else if (options.status !== undefined) {
        const facts = await client.get(pathOf(options.status), preheatSchema)
        print(facts, detailText(facts))
      } else if (options.cancel !== undefined) {
        await client.delete(pathOf(options.cancel))
        print({ cancelled: options.cancel }, `preheat ${options.cancel} is cancelled; what it brought may be evicted`)
      } else {
        const begun = await client.post('/api/v1/preheats', preheatSchema, askedOf(what, options))
        const facts = options.detach ? begun : await ended(begun, client, context, options)
        print(facts, summaryText(facts))
        if (facts.state === 'failed' || facts.state === 'cancelled') {
          throw new CommandError(`preheat ${facts.id} ${facts.state}${facts.reason ? `: ${facts.reason}` : ''}`)
        }
      }
    })
}

function checkUsage(command: Command, what: readonly string[], { list, status, cancel }: Options): void {
  const wrong = (message: string) => command.error(`shoal: ${message}`, { exitCode: 2 })
  const asked = [list, status, cancel].filter((option) => option !== undefined).length
  if (asked > 1) wrong('--list, --status and --cancel are three different questions')
  if (asked === 1 && what.length > 0) wrong('--list, --status and --cancel take no images')
  if (asked === 0 && what.length === 0) wrong('name the images and URLs to bring, or give --list')
  for (const name of what) {
    try {
      parseTarget(name)
    } catch (error) {
      wrong((error as Error).message)
    }
  }
}

function askedOf(what: readonly string[], { platform, scope, zone, share, pin }: Options): PreheatAsked {
  const platforms = platform?.includes('all') ? 'all' : platform && [...platform]
  return {
    what: [...what],
    ...(platforms === undefined ? {} : { platforms }),
    scope,
    ...(zone === undefined ? {} : { zone }),
    ...(share === undefined ? {} : { share }),
    ...(pin === undefined ? {} : { pin }),
  }
}

async function ended(begun: PreheatFacts, client: AdminClient, context: Context, options: Options) {
  const { clock } = context
  const bars = context.host.terminal && !options.quiet && !options.json ? new PreheatBars() : undefined
  const left = new AbortController()
  const forget = context.onSignal(() => left.abort())
  const since = clock.now()
  let heardAt = since
  let facts = begun
  try {
    while (facts.state === 'pending' || facts.state === 'running') {
      bars?.show(facts)
      await pause(clock, lookMs, left.signal)
      try {
        facts = await client.get(pathOf(facts.id), preheatSchema)
        heardAt = clock.now()
      } catch (error) {
        if (clock.now() - heardAt > patienceMs) throw error
      }
    }
  } catch (error) {
    if (!left.signal.aborted) throw error
    const { id } = facts
    throw new CommandError(`preheat ${id} goes on; \`shoal preheat --status ${id}\` shows it, --cancel ${id} stops it`)
  } finally {
    forget()
    bars?.end()
  }
  if (bars) context.err(`waited ${spanText((clock.now() - since) / 1000)}`)
  return facts
}

const pathOf = (id: number) => `/api/v1/preheats/${id}`

function collected(text: string, before: readonly string[] | undefined): readonly string[] {
  if (!isPlatform(text)) throw new InvalidArgumentError('Expected linux/amd64, linux/arm/v7 or the like, or all.')
  return [...(before ?? []), text]
}

function checkedShare(text: string): number {
  const [, number, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? []
  const share = Number(number) / (percent ? 100 : 1)
  if (share > 0 && share <= 1) return share
  throw new InvalidArgumentError('Expected a share above 0 and at most 1: 0.3, or 30%.')
}

function checkedTime(text: string): string {
  if (lifetime.safeParse(text).success) return text
  throw new InvalidArgumentError('Expected a duration of a minute or more, such as 24h or 7d.')
}

function checkedId(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected the number of a preheat; --list has them.')
}
