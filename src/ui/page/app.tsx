/** The page as a whole, from what is known and what the visitor chose. */
import type { BlobFacts } from '../../admin/view.ts'
import { type Refusal, whyNot } from './attempt.ts'
import { type BlobSearch, Blobs } from './blobs.tsx'
import { RemoveDialog, TokenDialog } from './dialogs.tsx'
import { type Facts, flowsOf, missingOf, nodesOf, pullingOf } from './facts.ts'
import { Faults } from './faults.tsx'
import { Header } from './header.tsx'
import { Members } from './members.tsx'
import { Mounts } from './mounts.tsx'
import { Preheats } from './preheats.tsx'
import { Pulls } from './pulls.tsx'
import { Swarm } from './swarm.tsx'
import type { Theme } from './theme.ts'
import { Tiles } from './tiles.tsx'
import { type Span, Traffic } from './traffic.tsx'

/** What the visitor chose or is asked. */
export interface Choice {
  readonly theme: Theme
  readonly dark: boolean
  readonly span: Span
  readonly search: BlobSearch
  readonly members: string
  readonly removing: BlobFacts | undefined
  /** Why what was tried last was not done. */
  readonly refusal: Refusal | undefined
  /** A token is asked for; the text says what was wrong with the last one. */
  readonly token: string | undefined
}

export interface Actions {
  choose(change: Partial<Choice>): void
  token(token: string): void
  remove(): void
  lift(node: string): void
  cancelPreheat(id: number): void
}

export interface AppProps {
  readonly facts: Facts
  readonly choice: Choice
  readonly silence: string | undefined
  readonly now: number
  readonly actions: Actions
}

export function App({ facts, choice, silence, now, actions }: AppProps) {
  const { node, members, transfers, cluster, blobs, bans, faults, history, clusterHistory, preheats, mounted } = facts
  const { choose } = actions
  return (
    <>
      <a class="skip" href="#content">
        To the content
      </a>
      <Header node={node} silence={silence} theme={choice.theme} onTheme={(theme) => choose({ theme })} />
      <main id="content" tabIndex={-1}>
        {node && <Tiles node={node} history={history} cluster={cluster} />}
        {node && members && transfers && (
          <div class="pair">
            <Swarm nodes={nodesOf(facts)} flows={flowsOf(facts)} missing={cluster && missingOf(cluster)} />
            <Pulls downloads={transfers.downloads} others={pullingOf(facts)} />
          </div>
        )}
        {history && clusterHistory && (
          <Traffic
            history={history}
            cluster={clusterHistory}
            span={choice.span}
            theme={choice.theme}
            dark={choice.dark}
            onSpan={(span) => choose({ span })}
          />
        )}
        {mounted && mounted.mounters.length > 0 && <Mounts mounted={mounted} />}
        {preheats && preheats.length > 0 && (
          <Preheats
            preheats={preheats}
            now={now}
            refusal={whyNot(choice.refusal, 'preheats')}
            onCancel={actions.cancelPreheat}
          />
        )}
        {members && (
          <Members members={members} search={choice.members} onSearch={(text) => choose({ members: text })} />
        )}
        {blobs && (
          <Blobs
            page={blobs}
            search={choice.search}
            now={now}
            onSearch={(search) => choose({ search })}
            onRemove={(removing) => choose({ removing, refusal: undefined })}
          />
        )}
        {node && bans && faults && (
          <Faults
            node={node}
            bans={bans}
            faults={faults}
            now={now}
            refusal={whyNot(choice.refusal, 'bans')}
            onLift={actions.lift}
          />
        )}
      </main>
      {choice.removing && (
        <RemoveDialog
          blob={choice.removing}
          refusal={whyNot(choice.refusal, 'removal')}
          onRemove={actions.remove}
          onClose={() => choose({ removing: undefined })}
        />
      )}
      {choice.token !== undefined && <TokenDialog refusal={choice.token} onToken={actions.token} />}
    </>
  )
}
