/** Long tests, each with a report: what the quick forms in `scripts/test` try for seconds, for as long as it is worth. */
import { parseArgs } from 'node:util'
import { choice, failing, within } from './lib/options.ts'
import { faultSoak, faultSoaks } from './soaks/faults.ts'
import { fuzzMessages, fuzzRequests } from './soaks/fuzz.ts'
import { homeSoak } from './soaks/home.ts'
import { replicationSoak } from './soaks/replication.ts'
import { stateSoak } from './soaks/state.ts'
import { strangersSoak } from './soaks/strangers.ts'

const help = `usage: scripts/soak fuzz [--messages N] [--requests N] [--seed N]
       scripts/soak strangers [--tries N] [--only TEXT] [--output DIR]
       scripts/soak home [--megabytes N] [--hosts N] [--client skopeo|docker] [--output DIR]
       scripts/soak state [--rounds N] [--minutes N] [--seed N] [--output DIR]
       scripts/soak replication [--pushes N] [--seconds N]
       scripts/soak faults|kills|clients|peers|split|churn [--rounds N] [--minutes N] [--only TEXT] [--seed N]
                    [--output DIR] [--more]

fuzz      gives every reader of the code mutated messages, and a running node mutated requests, and looks for anything
          but an answer or a refusal: crashes, hangs, growth. Default: 1,000,000 messages, 100,000 requests, seed 1.
          A failure is printed with its seed and the smallest input that was found.
strangers a host beside a cluster with a key, and then one with --encrypt too, asks with tickets that are nearly right,
          dials, joins and listens. Default: 10,000 tries of each kind, two minutes for each of the two clusters.
          --only takes the one whose name has TEXT in it; a report is written to DIR.
home      an image is pushed to a seed that keeps it in an object store, hosts pull it at once, all nodes are killed and lose
          their disks; then a new host pulls it. Default: 1000 MB, 6 hosts, pushed by docker; a report is written to DIR.
state     two seeds and two schedulers over a PostgreSQL and an object store: in each round one of them is killed at a
          random moment of pushes, a preheat and copying to another registry, in two of five with its disk; what was
          acknowledged has to be there. At the end both seeds lose their disks at once. Default: 50 rounds.
replication pushes images to one cluster, which copies them to another; that one is killed and away for --seconds (default
          60) at least, the first is killed once: in the end every tag and digest is the same. Default: 100 pushes.
faults    everything that is known to go wrong, with what is promised for each: registries that refuse, stall, break off
          and lie, killed nodes, cut links, full, read-only and broken disks, clocks that jump. Default: 10 rounds.
          --only takes those whose name has TEXT in it.
kills     a random node of three is killed at a random moment of a pull. Default: 100 rounds.
clients   a thousand clients at once on one node, in six waves. Default: 3 rounds.
peers     three hundred peers at once on one seed, in six waves. Default: 3 rounds.
split     ten hosts are split into five and five in the middle of a pull. Default: 3 rounds.
churn     eight nodes, clients that pull all the time, images that come and go, nodes that are killed, end, come back and
          are replaced, a registry that fails now and then, for --minutes (default 30). Every failure that a client sees
          has to be of what was done, and three nodes that stay must not grow: ten times all of it rests for 40 s, and
          what they have then is compared.

The last six begin no round after --minutes (default 120), and write a report to DIR (default soak-results). With --more
they add to the report that is there, until it has as many rounds. What nodes logged in rounds that failed is kept beside.`

await failing('scripts/soak', help, async (args) => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      messages: { type: 'string', default: '1000000' },
      requests: { type: 'string', default: '100000' },
      tries: { type: 'string', default: '10000' },
      megabytes: { type: 'string', default: '1000' },
      hosts: { type: 'string', default: '6' },
      client: { type: 'string', default: 'docker' },
      seed: { type: 'string', default: '1' },
      pushes: { type: 'string', default: '100' },
      seconds: { type: 'string', default: '60' },
      rounds: { type: 'string' },
      minutes: { type: 'string' },
      more: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      output: { type: 'string', default: 'soak-results' },
    },
  })
  const names = ['fuzz', 'strangers', 'home', 'state', 'replication', ...Object.keys(faultSoaks)]
  const name = choice(positionals.join(' '), 'the name of a soak', names)
  const seed = within(values.seed, '--seed', 0, 2 ** 31 - 1)
  if (name === 'fuzz') {
    const messages = within(values.messages, '--messages', 0, 1e9)
    const requests = within(values.requests, '--requests', 0, 1e8)
    if (messages > 0) fuzzMessages(messages, seed)
    if (requests > 0) await fuzzRequests(requests, seed)
    return
  }
  if (name === 'replication') {
    return replicationSoak(within(values.pushes, '--pushes', 4, 100_000), within(values.seconds, '--seconds', 0, 3600))
  }
  if (name === 'strangers') {
    return strangersSoak({
      tries: within(values.tries, '--tries', 1, 1_000_000),
      only: values.only,
      output: values.output,
    })
  }
  if (name === 'home') {
    return homeSoak({
      bytes: within(values.megabytes, '--megabytes', 1, 100_000) * 1e6,
      hosts: within(values.hosts, '--hosts', 1, 100),
      client: choice(values.client, '--client', ['skopeo', 'docker'] as const),
      output: values.output,
    })
  }
  if (name === 'state') {
    return stateSoak({
      rounds: within(values.rounds ?? '50', '--rounds', 1, 10_000),
      minutes: within(values.minutes ?? '120', '--minutes', 1, 10_000),
      seed,
      output: values.output,
    })
  }
  await faultSoak({
    name,
    ...(values.rounds === undefined ? {} : { rounds: within(values.rounds, '--rounds', 1, 100_000) }),
    ...(values.minutes === undefined ? {} : { minutes: within(values.minutes, '--minutes', 1, 10_000) }),
    seed,
    only: values.only,
    more: values.more,
    output: values.output,
  })
})
