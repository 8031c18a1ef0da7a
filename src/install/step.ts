/** What an installation does to a host, one thing after the other: decided first, so that `--dry-run` shows the same. */
export type Step =
  | { readonly do: 'binary'; readonly path: string }
  /** `owner`: its user, and of what a node has left in it; nobody else may look into one that is made. */
  | { readonly do: 'directory'; readonly path: string; readonly owner?: string }
  /** A folder that is there, which the service is to enter. */
  | { readonly do: 'let-in'; readonly path: string; readonly mode: number; readonly group?: string }
  | { readonly do: 'write'; readonly path: string; readonly text: string }
  /** A file with a secret in it, for root and that group. */
  | { readonly do: 'copy'; readonly from: string; readonly path: string; readonly group?: string }
  /** A file, or a directory with all that is in it. */
  | { readonly do: 'remove'; readonly path: string }
  | { readonly do: 'remove-directory'; readonly path: string }
  /** What stays of a user that goes, whose numbers the next one may get: root's again. */
  | { readonly do: 'disown'; readonly path: string; readonly user: string }
  /** A mounter that has nothing to do. */
  | { readonly do: 'end-mounter'; readonly pid: number }
  /** `mayFail`: it only tidies up. */
  | { readonly do: 'run'; readonly command: readonly string[]; readonly mayFail?: true }

export function describe(step: Step): string {
  switch (step.do) {
    case 'binary':
      return `put this binary at ${step.path}`
    case 'directory':
      return `make ${step.path}${step.owner ? ` for ${step.owner}, who gets what a node has left there` : ''}`
    case 'let-in': {
      const group = step.group ? `, group ${step.group}` : ''
      return `let the service into ${step.path}: mode ${step.mode.toString(8).padStart(4, '0')}${group}`
    }
    case 'write':
      return `write ${step.path}`
    case 'copy': {
      const reader = step.group ? `, readable for the group ${step.group}` : ''
      return step.from === step.path ? `leave ${step.path}${reader}` : `copy ${step.from} to ${step.path}${reader}`
    }
    case 'remove':
      return `remove ${step.path}`
    case 'remove-directory':
      return `remove ${step.path}, then empty`
    case 'disown':
      return `take ${step.path} back from ${step.user}`
    case 'end-mounter':
      return `end the idle mounter, process ${step.pid}`
    case 'run':
      return `run ${step.command.join(' ')}`
  }
}
