/**
 * The two gRPC services of containerd that matter here, as data: the one it asks (snapshots), and the one it is asked
 * (content). Numbers and names are those of `containerd.services.snapshots.v1` and `containerd.services.content.v1`.
 */
import { fromJSON, type ServiceDefinition } from '@grpc/proto-loader'
import { z } from 'zod'

const text = (id: number) => ({ type: 'string', id })
const texts = (id: number) => ({ rule: 'repeated', type: 'string', id })
const labels = (id: number) => ({ keyType: 'string', type: 'string', id })
const mounts = { fields: { mounts: { rule: 'repeated', type: 'Mount', id: 1 } } }
const keyed = { fields: { snapshotter: text(1), key: text(2) } }
const made = { fields: { ...keyed.fields, parent: text(3), labels: labels(4) } }
const time = { fields: { seconds: { type: 'int64', id: 1 }, nanos: { type: 'int32', id: 2 } } }
const call = (requestType: string, responseType: string) => ({ requestType, responseType, comment: '' })

// Messages of other packages are declared where they are used: of a type nothing but its fields travels.
const snapshots = {
  Mount: { fields: { type: text(1), source: text(2), target: text(3), options: texts(4) } },
  Timestamp: time,
  FieldMask: { fields: { paths: texts(1) } },
  Empty: { fields: {} },
  Kind: { values: { UNKNOWN: 0, VIEW: 1, ACTIVE: 2, COMMITTED: 3 } },
  Info: {
    fields: {
      name: text(1),
      parent: text(2),
      kind: { type: 'Kind', id: 3 },
      createdAt: { type: 'Timestamp', id: 4 },
      updatedAt: { type: 'Timestamp', id: 5 },
      labels: labels(6),
    },
  },
  PrepareRequest: made,
  Mounts: mounts,
  KeyRequest: keyed,
  CommitRequest: { fields: { snapshotter: text(1), name: text(2), key: text(3), labels: labels(4), parent: text(5) } },
  InfoResponse: { fields: { info: { type: 'Info', id: 1 } } },
  UpdateRequest: {
    fields: { snapshotter: text(1), info: { type: 'Info', id: 2 }, updateMask: { type: 'FieldMask', id: 3 } },
  },
  ListRequest: { fields: { snapshotter: text(1), filters: texts(2) } },
  ListResponse: { fields: { info: { rule: 'repeated', type: 'Info', id: 1 } } },
  UsageResponse: { fields: { size: { type: 'int64', id: 1 }, inodes: { type: 'int64', id: 2 } } },
  CleanupRequest: { fields: { snapshotter: text(1) } },
  Snapshots: {
    methods: {
      Prepare: call('PrepareRequest', 'Mounts'),
      View: call('PrepareRequest', 'Mounts'),
      Mounts: call('KeyRequest', 'Mounts'),
      Commit: call('CommitRequest', 'Empty'),
      Remove: call('KeyRequest', 'Empty'),
      Stat: call('KeyRequest', 'InfoResponse'),
      Update: call('UpdateRequest', 'InfoResponse'),
      List: { ...call('ListRequest', 'ListResponse'), responseStream: true },
      Usage: call('KeyRequest', 'UsageResponse'),
      Cleanup: call('CleanupRequest', 'Empty'),
    },
  },
}

const content = {
  Timestamp: time,
  Info: {
    fields: {
      digest: text(1),
      size: { type: 'int64', id: 2 },
      createdAt: { type: 'Timestamp', id: 3 },
      updatedAt: { type: 'Timestamp', id: 4 },
      labels: labels(5),
    },
  },
  ListRequest: { fields: { filters: texts(1) } },
  ListResponse: { fields: { info: { rule: 'repeated', type: 'Info', id: 1 } } },
  ReadRequest: {
    fields: { digest: text(1), offset: { type: 'int64', id: 2 }, size: { type: 'int64', id: 3 } },
  },
  ReadResponse: { fields: { offset: { type: 'int64', id: 1 }, data: { type: 'bytes', id: 2 } } },
  Content: {
    methods: {
      List: { ...call('ListRequest', 'ListResponse'), responseStream: true },
      Read: { ...call('ReadRequest', 'ReadResponse'), responseStream: true },
    },
  },
}

const packages: Parameters<typeof fromJSON>[0] = {
  nested: {
    'containerd.services.snapshots.v1': { nested: snapshots },
    'containerd.services.content.v1': { nested: content },
  },
}
const loaded = fromJSON(packages, { longs: Number, enums: String, defaults: true, bytes: Buffer })

function service(name: string): ServiceDefinition {
  const found = loaded[name]
  if (found === undefined || 'format' in found) throw new Error(`${name} is no service`)
  return found
}

export const snapshotsService = service('containerd.services.snapshots.v1.Snapshots')
export const contentService = service('containerd.services.content.v1.Content')

const name = z.string().max(4096)
const labelsSchema = z.record(z.string(), z.string())

/** What containerd asks, as it arrives. */
export const requests = {
  prepare: z.object({ key: name, parent: name, labels: labelsSchema }),
  key: z.object({ key: name }),
  commit: z.object({ name, key: name, labels: labelsSchema, parent: name }),
  update: z.object({
    info: z.object({ name, labels: labelsSchema }),
    updateMask: z.object({ paths: z.array(z.string()) }).nullable(),
  }),
  list: z.object({ filters: z.array(z.string()).max(1000) }),
}

/** What containerd answers. */
export const answers = {
  contents: z.object({
    info: z.array(
      z.object({
        digest: z.string(),
        size: z.number(),
        labels: labelsSchema,
        updatedAt: z.object({ seconds: z.number() }).nullable(),
      }),
    ),
  }),
  data: z.object({ data: z.instanceof(Uint8Array) }),
}

/** Wall ms as a protobuf timestamp. */
export function timestamp(ms: number): { seconds: number; nanos: number } {
  const seconds = Math.floor(ms / 1000)
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) }
}
