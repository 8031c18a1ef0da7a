/** Runs the page: asks the node, keeps what it answers and what the visitor chooses, and draws. */
import { render } from 'preact'
import type { PreheatSummary } from '../../admin/preheats.ts'
import type {
  BanFacts,
  BlobPage,
  ClusterFacts,
  ClusterHistoryFacts,
  FaultFacts,
  HistoryFacts,
  MemberFacts,
  NodeFacts,
  Transfers,
} from '../../admin/view.ts'
import type { MountedFacts } from '../../lazy/mounted.ts'
import { Api, Refused, Unauthorized } from './api.ts'
import { type Actions, App, type Choice } from './app.tsx'
import { attempt } from './attempt.ts'
import { blobQuery } from './blobs.tsx'
import type { Facts } from './facts.ts'
import { Poll, type Question } from './poll.ts'
import { setTheme, storedTheme } from './theme.ts'

const api = new Api((path, init) => fetch(path, init), sessionStorage)
const system = matchMedia('(prefers-color-scheme: dark)')
const place = document.getElementById('page')!

let facts: Facts = {}
let silence: string | undefined
let choice: Choice = {
  theme: storedTheme(localStorage),
  dark: system.matches,
  span: '30m',
  search: { filter: '', state: 'all', offset: 0 },
  members: '',
  removing: undefined,
  refusal: undefined,
  token: undefined,
}

function draw(): void {
  render(<App facts={facts} choice={choice} silence={silence} now={Date.now()} actions={actions} />, place)
}

function learn(more: Facts): void {
  facts = { ...facts, ...more }
  silence = undefined
  draw()
}

const askBlobs = async () => {
  const { search } = choice
  const blobs = await api.get<BlobPage>(blobQuery(search))
  // The visitor may have typed on meanwhile.
  if (search === choice.search) learn({ blobs })
}
const askHistory = async () => {
  const { span } = choice
  const history = await api.get<HistoryFacts>(`/api/v1/history?span=${span}`)
  if (span === choice.span) learn({ history })
}
const askClusterHistory = async () => {
  const { span } = choice
  const clusterHistory = await api.get<ClusterHistoryFacts>(`/api/v1/cluster/history?span=${span}`)
  if (span === choice.span) learn({ clusterHistory })
}
const askPreheats = async () => {
  try {
    learn(await api.get<{ preheats: PreheatSummary[] }>('/api/v1/preheats?limit=5'))
  } catch (error) {
    // A node may know no scheduler that could say, and has all else to show.
    if (!(error instanceof Refused)) throw error
    learn({ preheats: [] })
  }
}
const askBans = async () => learn(await api.get<{ bans: BanFacts[] }>('/api/v1/bans'))

const questions: readonly Question[] = [
  { everyMs: 1000, ask: async () => learn({ node: await api.get<NodeFacts>('/api/v1/node') }) },
  { everyMs: 1000, ask: async () => learn({ transfers: await api.get<Transfers>('/api/v1/transfers') }) },
  { everyMs: 3000, ask: async () => learn(await api.get<{ members: MemberFacts[] }>('/api/v1/members')) },
  { everyMs: 3000, ask: askHistory },
  { everyMs: 1000, ask: async () => learn({ cluster: await api.get<ClusterFacts>('/api/v1/cluster') }) },
  { everyMs: 5000, ask: askClusterHistory },
  { everyMs: 5000, ask: askBlobs },
  { everyMs: 5000, ask: askBans },
  { everyMs: 2000, ask: askPreheats },
  { everyMs: 2000, ask: async () => learn({ mounted: await api.get<MountedFacts>('/api/v1/mounts') }) },
  { everyMs: 5000, ask: async () => learn({ faults: await api.get<FaultFacts>('/api/v1/faults') }) },
]

const timer = {
  after(ms: number, task: () => void) {
    const handle = setTimeout(task, ms)
    return () => clearTimeout(handle)
  },
}

const poll = new Poll(questions, timer, failed)

function failed(error: unknown): void {
  if (error instanceof Unauthorized) {
    poll.stop()
    choice = { ...choice, token: error.message }
  } else {
    silence = error instanceof Error ? error.message : String(error)
  }
  draw()
}

const actions: Actions = {
  choose(change) {
    const before = choice
    choice = { ...choice, ...change }
    if (change.theme !== undefined) setTheme(change.theme, localStorage, document.documentElement)
    draw()
    if (choice.search !== before.search) askBlobs().catch(failed)
    if (choice.span !== before.span) {
      askHistory().catch(failed)
      askClusterHistory().catch(failed)
    }
  },
  token(token) {
    api.token = token
    choice = { ...choice, token: undefined }
    draw()
    poll.start()
  },
  async remove() {
    const { removing } = choice
    if (!removing) return
    const act = async () => {
      await api.remove(`/api/v1/blobs/${removing.digest}`)
      actions.choose({ removing: undefined })
    }
    await attempt({ of: 'removal', act, look: askBlobs }, { choose: actions.choose, failed })
  },
  async cancelPreheat(id) {
    const act = () => api.remove(`/api/v1/preheats/${id}`)
    await attempt({ of: 'preheats', act, look: askPreheats }, { choose: actions.choose, failed })
  },
  async lift(node) {
    const act = () => api.remove(`/api/v1/bans/${node}`)
    await attempt({ of: 'bans', act, look: askBans }, { choose: actions.choose, failed })
  },
}

setTheme(choice.theme, localStorage, document.documentElement)
system.addEventListener('change', () => actions.choose({ dark: system.matches }))
document.addEventListener('visibilitychange', () => {
  if (choice.token !== undefined) return
  if (document.hidden) poll.stop()
  else poll.start()
})
draw()
poll.start()
