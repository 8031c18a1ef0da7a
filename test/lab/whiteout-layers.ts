/** Layers that take away and replace what those below them have, lowest first. */
import { type Member, tarOf } from '../fakes/tar.ts'

const folder = (name: string, some: Partial<Member> = {}): Member => ({ name, flag: '5', mode: 0o755, ...some })
const file = (name: string, data = name): Member => ({ name, data })
const gone = (name: string): Member => ({ name, data: '' })
const root = folder('./')
const attribute = (value: string) => [['SCHILY.xattr.user.layer', value]] as const

export function whiteoutLayers(): Uint8Array[] {
  return [
    [
      ...[root, folder('kept/'), file('kept/a'), file('kept/b'), { name: 'kept/link', flag: '1', link: 'kept/a' }],
      ...[folder('gone/'), file('gone/file'), folder('gone/below/'), file('gone/below/file'), file('gone-file')],
      ...[folder('some/'), file('some/x'), file('some/y'), folder('some/z/'), file('some/z/file')],
      ...[folder('opaque/', { mode: 0o700, uid: 5 }), file('opaque/a'), folder('opaque/b/'), file('opaque/b/c')],
      ...[file('file-to-folder'), folder('folder-to-file/'), file('folder-to-file/x')],
      ...[file('file-to-link'), { name: 'link-to-folder', flag: '2', link: 'kept', mode: 0o777 }],
      ...[folder('deep/'), folder('deep/er/'), folder('deep/er/still/'), file('deep/er/still/a')],
      ...[folder('merged/', { pax: attribute('1') }), file('merged/one'), file('in-all', '1')],
    ],
    [
      ...[root, gone('.wh.gone'), gone('.wh.gone-file'), gone('.wh.never-there')],
      ...[folder('some/'), gone('some/.wh.x'), gone('some/.wh.z'), file('some/new')],
      ...[folder('opaque/', { uid: 6 }), gone('opaque/.wh..wh..opq'), file('opaque/new'), folder('opaque/b/')],
      ...[folder('file-to-folder/'), file('file-to-folder/inside'), file('folder-to-file')],
      ...[{ name: 'file-to-link', flag: '2', link: 'kept/a', mode: 0o777 }, folder('link-to-folder/')],
      ...[file('link-to-folder/own'), folder('deep/'), folder('deep/er/'), folder('deep/er/still/')],
      ...[gone('deep/er/still/.wh.a'), file('deep/er/still/b'), folder('merged/', { pax: attribute('2') })],
      ...[file('merged/two'), file('in-all', '2'), folder('kept/'), { name: 'kept/c', flag: '1', link: 'in-all' }],
    ],
    [
      ...[root, folder('gone/'), file('gone/again'), gone('.wh.file-to-link'), folder('some/'), gone('some/.wh.new')],
      ...[folder('opaque/'), file('opaque/third'), folder('merged/'), file('merged/three'), file('in-all', '3')],
      ...[folder('deep/'), gone('deep/.wh.er'), gone('link-to-folder/.wh..wh..opq'), folder('link-to-folder/')],
      ...[gone('.wh..wh.aufs'), gone('.wh..wh.plnk'), file('link-to-folder/third')],
    ],
  ].map((members) => tarOf(members))
}
