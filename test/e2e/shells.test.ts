/** Completions and the manual page in the programs that they are for. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { builtBinary } from '../lab/node.ts'

const missing = (program: string) => {
  const absent = Bun.which(program) === null
  if (absent) console.log(`skipped: ${program} is not installed`)
  return absent
}

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-shells-'))
  mkdirSync(join(dir, 'folder'))
  writeFileSync(join(dir, 'file.yaml'), '')
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function printed(...command: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { cwd: dir, env: { ...process.env, TERM: 'dumb' } })
  if (exitCode !== 0) throw new Error(`${command[0]} ended with ${exitCode}: ${stderr}${stdout}`)
  return stdout.toString()
}

function scriptFor(shell: string): string {
  const path = join(dir, `shoal.${shell}`)
  writeFileSync(path, printed(builtBinary, 'completions', shell))
  return path
}

/** What is on the line so far, and what is offered then: all of it, or some. */
const cases: [line: string, offered: string[], whole: boolean][] = [
  ['shoal con', ['configure'], true],
  ['shoal configure ', ['docker', 'containerd', 'podman', 'cri-o'], false],
  ['shoal configure --dr', ['--dry-run'], true],
  ['shoal up --log-le', ['--log-level'], true],
  ['shoal up --log-level ', ['debug', 'info', 'warn', 'error'], true],
  ['shoal up --encrypt --logins-for ', ['nobody', 'root', 'cluster', 'everyone'], true],
  ['shoal help trou', ['troubleshooting'], true],
  ['shoal up --data-dir f', ['folder'], true],
  ['shoal up --config f', ['file.yaml', 'folder'], true],
  ['shoal completions ', ['bash', 'zsh', 'fish'], true],
]

function check(offered: string[], expected: string[], whole: boolean): void {
  const bare = offered.map((word) => word.replace(/[/ =]+$/, '')).sort()
  if (whole) expect(bare).toEqual([...expected].sort())
  else expect(bare).toEqual(expect.arrayContaining(expected))
}

describe('bash', () => {
  let script = ''
  beforeAll(() => {
    script = scriptFor('bash')
  })
  const complete = (words: string[]) => {
    const line = words.map((word) => `'${word}'`).join(' ')
    const program = `source ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _shoal; printf '%s\\n' "\${COMPREPLY[@]}"`
    return printed('bash', '--norc', '-c', program).split('\n').filter(Boolean)
  }

  test.each(cases)('completes %p', (line, expected, whole) => check(complete(line.split(' ')), expected, whole))

  test('completes what follows an equals sign, which parts words there', () => {
    check(complete(['shoal', 'up', '--log-level', '=', 'd']), ['debug'], true)
    check(complete(['shoal', 'up', '--log-level', '=']), ['debug', 'info', 'warn', 'error'], true)
  })

  test('offers nothing where nobody knows, and runs nothing that stands on the line', () => {
    expect(complete(['shoal', 'up', '--zone', ''])).toEqual([])
    expect(complete(['shoal', 'pin', '$(touch ran)'])).toEqual([])
    expect(printed('ls')).not.toContain('ran')
  })
})

describe.skipIf(missing('fish'))('fish', () => {
  let script = ''
  beforeAll(() => {
    script = scriptFor('fish')
  })
  test.each(cases)('completes %p', (line, expected, whole) => {
    const offered = printed('fish', '--no-config', '-c', `source ${script}; complete -C ${JSON.stringify(line)}`)
    const words = offered.split('\n').flatMap((each) => each.split('\t')[0] || [])
    check(words, expected, whole)
  })
})

/**
 * zsh completes in a terminal only, so it is given one of its own (zpty). What is offered is caught where it is handed
 * over, by a `compadd` that prints what of it fits.
 */
const zshSetup = (script: string) => `PROMPT='re''ady>'
unsetopt zle_bracketed_paste 2>/dev/null
autoload -Uz compinit && compinit -u -D
source ${script}
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  builtin compadd "$@"
  local hit
  for hit in $hits; do print -r -- "<$hit>"; done
}
bindkey '^I' complete-word
`
const zshTerminal = `zmodload zsh/zpty
zpty inner zsh -f -i
until_seen() {
  local text all
  repeat 400; do
    if zpty -rt inner text; then print -rn -- "$text"; all+=$text; [[ $all == *$1* ]] && return 0; else sleep 0.01; fi
  done
  return 1
}
zpty -w inner "source $1"
until_seen 'ready>' || exit 1
shift
for line; do
  zpty -w -n inner "$line"$'\\t'
  zpty -w -n inner $'\\x15print do'"''"$'ne\\n'
  until_seen 'done' && until_seen 'ready>' || exit 1
  print -r -- '<<>>'
done
`

describe.skipIf(missing('zsh'))('zsh', () => {
  let offered: string[][]
  beforeAll(() => {
    const setup = join(dir, 'setup.zsh')
    writeFileSync(setup, zshSetup(scriptFor('zsh')))
    const lines = cases.map(([line]) => line)
    const parts = printed('zsh', '-f', '-c', zshTerminal, 'terminal', setup, ...lines).split('<<>>')
    offered = parts.map((text) => [...new Set([...text.matchAll(/<([^<>\s]+)>/g)].map(([, word]) => word!))])
  }, 60_000)
  test.each(cases.map((each, at) => [...each, at] as const))('completes %p', (_, expected, whole, at) => {
    check(offered[at]!, [...expected], whole)
  })
})

test.skipIf(missing('man'))(
  'the manual page is one that man reads without a warning, with every command and flag',
  () => {
    const page = join(dir, 'shoal.1')
    writeFileSync(page, printed(builtBinary, 'help', '--man'))
    const { stdout, stderr } = Bun.spawnSync(['man', '--warnings', '-l', page], {
      env: { ...process.env, MANWIDTH: '200', LC_ALL: 'C' },
    })
    expect(stderr.toString()).toBe('')
    const text = stdout.toString()
    const help = printed(builtBinary, 'up', '--help')
    const flags = [...help.matchAll(/^ +(--[a-z-]+)/gm)].map(([, flag]) => flag!)
    expect(flags.length).toBeGreaterThan(20)
    expect(flags.filter((flag) => !text.includes(flag))).toEqual([])
    expect(text).toContain('SHOAL_TAG_TTL')
    expect(text).toContain('troubleshooting')
  },
)
