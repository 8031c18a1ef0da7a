/**
 * A program that mounts EROFS images, and runs a command with them there: `mounted.ts [IMAGE DATA DIR]... -- COMMAND`.
 * It is to be started in a mount namespace of its own (`unshare -m`), which takes the mounts with it when it ends. mount(8)
 * before util-linux 2.40 would put a loop device below, so that mount(2) is called.
 */
import { dlopen, FFIType, ptr } from 'bun:ffi'

const readOnly = 1
const libc = dlopen('libc.so.6', {
  mount: { args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  perror: { args: [FFIType.ptr], returns: FFIType.void },
})

const text = (value: string) => Buffer.from(`${value}\0`)

function mount(image: string, data: string, dir: string): void {
  const parts = [text(image), text(dir), text('erofs'), text(`device=${data}`)] as const
  const [source, target, type, options] = parts
  if (libc.symbols.mount(ptr(source), ptr(target), ptr(type), readOnly, ptr(options)) === 0) return
  libc.symbols.perror(ptr(text(`mount ${image} on ${dir}`)))
  process.exit(1)
}

const end = process.argv.indexOf('--')
const mounts = process.argv.slice(2, end)
for (let i = 0; i < mounts.length; i += 3) mount(mounts[i]!, mounts[i + 1]!, mounts[i + 2]!)
const child = Bun.spawn(process.argv.slice(end + 1), { stdin: 'ignore', stdout: 'inherit', stderr: 'inherit' })
process.exit(await child.exited)
