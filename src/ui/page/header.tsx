import type { NodeFacts } from '../../admin/view.ts'
import type { Theme } from './theme.ts'
import { hostOf, shortNode, span } from './words.ts'

export interface HeaderProps {
  readonly node: NodeFacts | undefined
  /** What went wrong with the last question; absent: nothing. */
  readonly silence: string | undefined
  readonly theme: Theme
  onTheme(theme: Theme): void
}

const themes: readonly { readonly theme: Theme; readonly name: string }[] = [
  { theme: 'auto', name: 'Auto' },
  { theme: 'light', name: 'Light' },
  { theme: 'dark', name: 'Dark' },
]

export function Header({ node, silence, theme, onTheme }: HeaderProps) {
  return (
    <header class="top">
      <h1>
        <img src="/ui/icon.svg" alt="" width="26" height="26" />
        shoal
      </h1>
      {node && (
        <p class="who">
          <strong title={node.id}>{hostOf(node.addresses.peer)}</strong>
          <span class="mono quiet" title={node.id}>
            {shortNode(node.id)}
          </span>
          <span class="quiet">
            {node.modes.join(', ')}
            {node.zone ? ` in ${node.zone}` : ''}
          </span>
          <span class="quiet wide">
            version {node.version}, up {span(node.uptimeSeconds)}
          </span>
        </p>
      )}
      <State node={node} silence={silence} />
      <fieldset class="themes">
        <legend class="unseen">Colours</legend>
        {themes.map((each) => (
          <label key={each.theme}>
            <input
              type="radio"
              name="theme"
              value={each.theme}
              checked={theme === each.theme}
              onChange={() => onTheme(each.theme)}
            />
            <span>{each.name}</span>
          </label>
        ))}
      </fieldset>
    </header>
  )
}

/** Read out when it changes, and only then. */
function State({ node, silence }: Pick<HeaderProps, 'node' | 'silence'>) {
  const [kind, text] =
    silence !== undefined
      ? ['bad', 'no answer']
      : node === undefined
        ? ['wait', 'asking']
        : node.notReady.length > 0
          ? ['warn', 'not ready']
          : ['good', 'ready']
  return (
    <p class={`state ${kind}`} role="status" title={silence}>
      {text}
    </p>
  )
}
