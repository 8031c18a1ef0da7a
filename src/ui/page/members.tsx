import type { MemberFacts } from '../../admin/view.ts'
import { Scroll } from './scroll.tsx'
import { count, hostOf, shortNode, span } from './words.ts'

/** So many are looked at; more are searched. */
const mostRows = 100

export interface MembersProps {
  readonly members: readonly MemberFacts[]
  readonly search: string
  onSearch(text: string): void
}

export function Members({ members, search, onSearch }: MembersProps) {
  const found = matching(members, search)
  const rows = found.slice(0, mostRows)
  const zoned = members.some(({ zone }) => zone !== undefined)
  return (
    <section class="card" aria-labelledby="members">
      <div class="head">
        <h2 id="members">
          Members <span class="tally">{members.length.toLocaleString('en')}</span>
        </h2>
        {members.length > 12 && (
          <input
            type="search"
            aria-label="Search members"
            placeholder="Address, id, mode or zone"
            value={search}
            onInput={({ currentTarget }) => onSearch(currentTarget.value)}
          />
        )}
      </div>
      {rows.length === 0 ? (
        <p class="empty">No member fits "{search}".</p>
      ) : (
        <Scroll label="Members">
          <table>
            <thead>
              <tr>
                <th scope="col">Node</th>
                <th scope="col">Modes</th>
                {zoned && <th scope="col">Zone</th>}
                <th scope="col" class="wide">
                  Version
                </th>
                <th scope="col" class="number">
                  Heard
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((member) => (
                <Row key={member.id} member={member} zoned={zoned} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {found.length > rows.length && (
        <p class="more quiet">{count(found.length - rows.length, 'member')} more: search for them.</p>
      )}
    </section>
  )
}

function Row({ member, zoned }: { member: MemberFacts; zoned: boolean }) {
  const { id, url, modes, zone, version, self, secondsSinceHeard } = member
  return (
    <tr>
      <th scope="row">
        {hostOf(url)} <span class="mono quiet wide">{shortNode(id)}</span>
      </th>
      <td>
        {modes.map((mode) => (
          <span key={mode} class={`mode ${mode}`}>
            {mode}
          </span>
        ))}
      </td>
      {zoned && <td>{zone ?? <span class="quiet">none</span>}</td>}
      <td class="wide">{version}</td>
      <td class="number">{self ? 'this node' : `${span(secondsSinceHeard)} ago`}</td>
    </tr>
  )
}

/** This node first, then by address. */
export function matching(members: readonly MemberFacts[], search: string): MemberFacts[] {
  const wanted = search.trim().toLowerCase()
  const order = ({ self, url }: MemberFacts) =>
    self ? '' : hostOf(url).replace(/\d+/g, (digits) => digits.padStart(4, '0'))
  return members
    .filter(({ id, url, modes, zone = '' }) =>
      [id, url, ...modes, zone].some((text) => text.toLowerCase().includes(wanted)),
    )
    .sort((a, b) => order(a).localeCompare(order(b)))
}
