/** What nodes ask of each other, in spans: one at who asks, and one below it at who answers. */
import type { Clock } from '../clock.ts'
import { formatRepository } from '../oci/reference.ts'
import { type Facts, spanned, type Traces } from '../telemetry/traces.ts'
import type { Resolve, Schedule, ScheduleReply } from '../wire/messages.ts'
import type { Inbound, Outbound } from '../wire/wire.ts'
import { Runs } from './runs.ts'
import type { TransferSpans } from './transfers.ts'

/** Calls outside of any span, announces for example, are left as they are. */
export function tracedOutbound(to: Outbound, traces: Traces, transfers: TransferSpans, clock: Clock): Outbound {
  const runs = new Runs(clock)
  const call = <T>(name: string, facts: Facts, work: () => Promise<T>, of?: (result: T) => Facts) =>
    traces.carried() === undefined ? work() : spanned(traces.begin(name, 'client', facts), work, of)
  return {
    // What comes over it is about many blobs, and belongs to none of them.
    session: (node) => traces.continued(undefined, () => to.session(node)),
    announce: (node, announce) => to.announce(node, announce),
    ping: (node) => to.ping(node),
    call: (node, asked, request) => to.call(node, asked, request),
    schedule: (node, request) =>
      transfers.within(request.location.digest, () =>
        call('ask for parents', { peer: node.id, ...about(request) }, () => to.schedule(node, request), told),
      ),
    order: (node, order) =>
      call('order a seed', { peer: node.id, digest: order.location.digest }, () => to.order(node, order)),
    resolve: (node, request) =>
      call('ask the owner', { peer: node.id, ...asked(request) }, () => to.resolve(node, request)),
    piece: (node, digest, wanted, signal, chosen, queued, came) =>
      transfers.within(digest, async () => {
        const below = traces.carried()
        if (below === undefined) return to.piece(node, digest, wanted, signal, chosen, queued, came)
        const begin = () => traces.begin('pieces from a node', 'client', { digest, peer: node.id, url: node.url })
        const { span, leave } = runs.enter(`${below} ${digest} ${node.id}`, begin)
        let bytes: number | undefined
        try {
          const answer = await span.within(() => to.piece(node, digest, wanted, signal, chosen, queued, came))
          bytes = answer.bytes.length
          return answer
        } finally {
          leave(bytes)
        }
      }),
  }
}

export function tracedInbound(to: Inbound, traces: Traces, clock: Clock): Inbound {
  const runs = new Runs(clock)
  const call = async <T>(name: string, facts: Facts, work: () => T | Promise<T>) =>
    spanned(traces.begin(name, 'server', facts), async () => work())
  return {
    opened: (session) => to.opened(session),
    frame: (session, frame) => to.frame(session, frame),
    closed: (session, reason) => to.closed(session, reason),
    announce: (announce) => to.announce(announce),
    // Told by the scheduler's own span, which is there for questions of this node itself too.
    schedule: (request) => to.schedule(request),
    resolve: (request) =>
      traces.carried() === undefined
        ? to.resolve(request)
        : call('answer as the owner', asked(request), () => to.resolve(request)),
    order(order) {
      if (traces.carried() === undefined) return to.order(order)
      const span = traces.begin('take an order', 'server', { digest: order.location.digest })
      try {
        span.within(() => to.order(order))
        span.end()
      } catch (error) {
        span.end(error)
        throw error
      }
    },
    passOn: (digest, wanted, peer, signal) => to.passOn(digest, wanted, peer, signal),
    async offer(digest, wanted, peer, signal) {
      const below = traces.carried()
      if (below === undefined) return to.offer(digest, wanted, peer, signal)
      const begin = () => traces.begin('pieces to a node', 'server', { digest, peer })
      const { leave } = runs.enter(`${below} ${digest} ${peer}`, begin)
      try {
        const piece = await to.offer(digest, wanted, peer, signal)
        return {
          ...piece,
          done(sent) {
            leave(sent ? piece.end - piece.start : undefined)
            piece.done(sent)
          },
        }
      } catch (error) {
        leave(undefined)
        throw error
      }
    },
  }
}

/** A scheduler's decision, for another node or for its own. */
export function tracedSchedule(decide: Inbound['schedule'], traces: Traces): Inbound['schedule'] {
  return (request) => {
    if (traces.carried() === undefined) return decide(request)
    const span = traces.begin('choose parents', 'server', { asker: request.node.id, ...about(request) })
    return spanned(span, async () => decide(request), told)
  }
}

function about({ location, stalled }: Schedule): Facts {
  return { digest: location.digest, stalled: stalled || undefined }
}

function told({ parents, fetcher }: ScheduleReply): Facts {
  return { parents: parents.length, fetcher }
}

function asked(request: Resolve): Facts {
  const repository = formatRepository(request.repository)
  return 'tag' in request ? { repository, tag: request.tag } : { repository, digest: request.digest }
}
