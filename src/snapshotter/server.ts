/** The gRPC service on a unix socket: requests parsed once, answers and refusals in containerd's words. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'
import { requests, snapshotsService, timestamp } from './proto.ts'
import { type Info, Refusal, type RefusalCode } from './snapshot.ts'
import type { Snapshots } from './snapshots.ts'

const codes: Record<RefusalCode, status> = {
  'already-exists': status.ALREADY_EXISTS,
  'not-found': status.NOT_FOUND,
  'failed-precondition': status.FAILED_PRECONDITION,
  invalid: status.INVALID_ARGUMENT,
  unavailable: status.UNAVAILABLE,
}
/** Which of containerd's clients asks; goes with each call. */
const namespaceHeader = 'containerd-namespace'
const infosAtOnce = 100

/** Told of each call and how it ended: `OK`, or the name of the gRPC status. */
export type Heard = (method: string, ended: string, ms: number) => void

export interface Serving {
  close(): Promise<void>
}

/** @throws {Failure} when the socket cannot be had */
export async function serve(snapshots: Snapshots, socket: string, log: Log, heard: Heard): Promise<Serving> {
  mkdirSync(dirname(socket), { recursive: true, mode: 0o711 })
  if (await answers(socket))
    throw new Failure('internal', `a snapshotter serves ${socket} already; end that one, or name another --socket`)
  rmSync(socket, { force: true })
  const server = new Server({ 'grpc.max_receive_message_length': 16 << 20 })
  server.addService(snapshotsService, calls(snapshots, log, heard))
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(new Failure('internal', `cannot listen on ${socket}: ${error.message}`)) : resolve(),
    )
  })
  // Whoever can ask can mount: root, as with containerd's own socket.
  chmodSync(socket, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.tryShutdown(() => resolve())
      }),
  }
}

function calls(snapshots: Snapshots, log: Log, heard: Heard) {
  const unary =
    <T>(method: string, schema: z.ZodType<T>, answer: (request: T, namespace?: string) => Promise<object> | object) =>
    async (call: ServerUnaryCall<unknown, object>, done: sendUnaryData<object>): Promise<void> => {
      const from = performance.now()
      try {
        const [namespace] = call.metadata.get(namespaceHeader).map(String)
        const answered = await answer(schema.parse(call.request), namespace)
        heard(method, 'OK', performance.now() - from)
        done(null, answered)
      } catch (error) {
        const failed = errorOf(error, method, log)
        heard(method, status[failed.code], performance.now() - from)
        done(failed)
      }
    }
  return {
    Prepare: unary('Prepare', requests.prepare, async ({ key, parent, labels }, namespace) => ({
      mounts: await snapshots.prepare(key, parent, labels, namespace),
    })),
    View: unary('View', requests.prepare, async ({ key, parent, labels }) => ({
      mounts: await snapshots.view(key, parent, labels),
    })),
    Mounts: unary('Mounts', requests.key, async ({ key }) => ({ mounts: await snapshots.mounts(key) })),
    Commit: unary('Commit', requests.commit, async ({ name, key, labels, parent }) => {
      await snapshots.commit(name, key, labels, parent)
      return {}
    }),
    Remove: unary('Remove', requests.key, ({ key }) => {
      snapshots.remove(key)
      return {}
    }),
    Stat: unary('Stat', requests.key, ({ key }) => ({ info: infoOf(snapshots.stat(key)) })),
    Update: unary('Update', requests.update, ({ info, updateMask }) => ({
      info: infoOf(snapshots.update(info.name, info.labels, updateMask?.paths ?? [])),
    })),
    Usage: unary('Usage', requests.key, ({ key }) => snapshots.usage(key)),
    Cleanup: unary('Cleanup', z.unknown(), async () => {
      await snapshots.cleanup()
      return {}
    }),
    List: (call: ServerWritableStream<unknown, object>): void => {
      const from = performance.now()
      try {
        const infos = snapshots.list(requests.list.parse(call.request).filters).map(infoOf)
        for (let at = 0; at < infos.length; at += infosAtOnce) call.write({ info: infos.slice(at, at + infosAtOnce) })
        heard('List', 'OK', performance.now() - from)
        call.end()
      } catch (error) {
        const failed = errorOf(error, 'List', log)
        heard('List', status[failed.code], performance.now() - from)
        call.emit('error', failed)
      }
    },
  }
}

function infoOf({ name, parent, kind, createdAt, updatedAt, labels }: Info): object {
  const times = { createdAt: timestamp(createdAt), updatedAt: timestamp(updatedAt) }
  return { name, parent, kind: kind.toUpperCase(), ...times, labels }
}

function errorOf(error: unknown, method: string, log: Log): ServiceError {
  const [code, message] =
    error instanceof Refusal
      ? [codes[error.code], error.message]
      : error instanceof z.ZodError
        ? [status.INVALID_ARGUMENT, `${method} was asked in a way that is not understood: ${z.prettifyError(error)}`]
        : [status.INTERNAL, Failure.from(error).message]
  if (code === status.INTERNAL) log.error('a call failed', { method, error })
  return Object.assign(new Error(message), { code, details: message, metadata: new Metadata() })
}

/** Somebody listens there. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const tried = connect(socket)
    tried.once('connect', () => {
      tried.destroy()
      resolve(true)
    })
    tried.once('error', () => resolve(false))
  })
}
