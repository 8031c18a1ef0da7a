/** Layers of which the upper ones have files in folders that they do not describe, lowest first. */
import { type Member, tarOf } from '../fakes/tar.ts'

const folder = (name: string, mode: number, some: Partial<Member> = {}): Member => ({ name, flag: '5', mode, ...some })
const file = (name: string): Member => ({ name, data: name })
const attribute = (value: string) => [['SCHILY.xattr.user.layer', value]] as const

export function impliedLayers(): Uint8Array[] {
  return [
    [
      ...[folder('tmp/', 0o1777), folder('root/', 0o700, { uid: 3, gid: 70_000 }), folder('home/', 0o711)],
      ...[folder('home/me/', 0o2750, { uid: 1000, gid: 1000, pax: attribute('base') }), folder('gone/', 0o700)],
      ...[folder('run/', 0o1770, { uid: 8 }), folder('var/', 0o755), { name: 'var/run', flag: '2', link: '/run' }],
      ...[folder('again/', 0o700), file('again/file'), folder('usual/', 0o755), file('replaced')],
    ],
    [
      ...[{ name: '.wh.gone', data: '' }, folder('again/', 0o701, { uid: 9 }), file('tmp/middle'), file('late/x')],
      ...[folder('home/', 0o755)],
    ],
    [
      ...[file('tmp/x'), file('root/y'), file('home/me/z'), file('gone/x'), file('var/run/pid'), file('again/x')],
      ...[file('usual/x'), file('new/er/x'), file('replaced/x'), file('late/y'), folder('late/', 0o710)],
    ],
  ].map((members) => tarOf(members))
}
