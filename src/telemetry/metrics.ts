/** Every metric of a node, with the names operators rely on, in one registry per node. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { FewNames, withFewSources } from './few-names.ts'
import { logLevels } from './log.ts'
import { processMetrics } from './process-metrics.ts'

export type Metrics = ReturnType<typeof createMetrics>

const latency = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const duration = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900]

/** Registries that are told apart: more than anybody has, and few enough to be looked at. */
const mostSources = 100

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const counter = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
    new Counter<L>({ name, help, labelNames, registers })
  const gauge = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
    new Gauge<L>({ name, help, labelNames, registers })
  const histogram = <L extends string = never>(name: string, help: string, buckets: number[], labelNames: L[] = []) =>
    new Histogram<L>({ name, help, buckets, labelNames, registers })
  const sources = new FewNames(mostSources, 'others')
  const ofSource = <L extends string = never>(name: string, help: string, more: L[] = []) =>
    withFewSources(counter<L | 'source'>(name, help, ['source', ...more]), sources)
  const metrics = {
    registry,
    sourceBytes: ofSource('shoal_source_bytes_total', 'Bytes received from sources'),
    sourceRequests: ofSource('shoal_source_requests_total', 'Requests sent to sources', ['status']),
    endpointUp: gauge('shoal_endpoint_up', '1 while an endpoint of a registry that has several is in use, else 0', [
      'source',
      'endpoint',
    ]),
    endpointBytes: ofSource('shoal_endpoint_bytes_total', 'Bytes received from each of the endpoints of a registry', [
      'endpoint',
    ]),
    endpointFailures: ofSource('shoal_endpoint_failures_total', 'Requests that endpoints of a registry failed at', [
      'endpoint',
    ]),
    rightsChecks: ofSource('shoal_rights_checks_total', 'Rights of clients that sources were asked about', ['outcome']),
    peerReceivedBytes: counter('shoal_peer_received_bytes_total', 'Bytes of pieces received from other nodes'),
    peerSentBytes: counter('shoal_peer_sent_bytes_total', 'Bytes of pieces sent to other nodes'),
    registryRequests: counter('shoal_registry_requests_total', 'Requests answered on the registry port', [
      'method',
      'kind',
      'status',
    ]),
    registrySentBytes: counter('shoal_registry_sent_bytes_total', 'Bytes of content sent to engines', ['from']),
    notServed: counter(
      'shoal_not_served_total',
      'Requests that were refused, so that the engine goes to the registry',
      ['code'],
    ),
    pulls: counter('shoal_pulls_total', 'Images that engines pulled, whole, or in part as they had or left the rest', [
      'result',
    ]),
    blobSends: counter('shoal_blob_sends_total', 'Blobs sent to engines: done, left by the engine, or broken off', [
      'result',
    ]),
    firstByteSeconds: histogram('shoal_first_byte_seconds', 'Seconds from request to first byte of a blob', latency),
    blobSeconds: histogram('shoal_blob_seconds', 'Seconds from request to last byte of a blob', duration),
    downloads: gauge('shoal_downloads', 'Blobs on their way to this node'),
    downloadsStalled: gauge('shoal_downloads_stalled', 'Those that an engine waits for and nothing comes of'),
    downloadsEnded: counter('shoal_downloads_ended_total', 'Blobs that came to this node, or why they did not', [
      'result',
    ]),
    uploads: gauge('shoal_uploads', 'Blobs that are on their way from here to another node, each receiver counted'),
    piecesRejected: counter('shoal_pieces_rejected_total', 'Pieces thrown away', ['reason']),
    peersBanned: counter('shoal_peers_banned_total', 'Nodes banned for sending wrong bytes'),
    bans: gauge('shoal_bans', 'Nodes that are banned now'),
    peerRefused: counter(
      'shoal_peer_refused_total',
      'Requests on the peer port refused for their ticket, or as a web page',
      ['reason'],
    ),
    blobs: gauge('shoal_blobs', 'Blobs in the store', ['state']),
    storeBytes: gauge('shoal_store_bytes', 'Bytes in the store'),
    storeDiskBytes: gauge('shoal_store_disk_bytes', 'Bytes of the disk that the store takes, its catalog included'),
    storeLimitBytes: gauge('shoal_store_limit_bytes', 'Bytes of the disk that the store may take'),
    engineBlobs: gauge('shoal_engine_blobs', 'Blobs that are read from where the engine keeps them'),
    engineBytes: gauge('shoal_engine_bytes', 'Bytes of those, which take nothing of the disk here'),
    stateUp: gauge(
      'shoal_state_up',
      '1 while the state of the cluster can be asked, 0 while not; absent where none is',
    ),
    storeTrouble: gauge('shoal_store_trouble', '1 while the store does not take what it should, else 0'),
    evictedBytes: counter('shoal_evicted_bytes_total', 'Bytes of the disk freed by dropping blobs'),
    diskBytes: gauge('shoal_disk_bytes', 'Size of the file system that the store is on'),
    diskFreeBytes: gauge('shoal_disk_free_bytes', 'Bytes that are free there for others than root'),
    scrubbedBytes: counter('shoal_scrubbed_bytes_total', 'Bytes read again from whole blobs to check them'),
    piecesDamaged: counter('shoal_pieces_damaged_total', 'Pieces on the disk that turned out to be wrong'),
    keepRemoved: counter('shoal_keep_removed_total', 'Tags, manifests and blobs that rules did not keep', ['kind']),
    replicationWaiting: gauge('shoal_replication_waiting', 'Tags and manifests that are yet to be copied', ['target']),
    replicationLagSeconds: gauge('shoal_replication_lag_seconds', 'Seconds that the oldest of those waits', ['target']),
    replicationTasks: counter('shoal_replication_tasks_total', 'Tags and manifests copied, and tries that failed', [
      'result',
    ]),
    replicationSentBytes: counter('shoal_replication_sent_bytes_total', 'Bytes of blobs sent to other clusters'),
    layerIndexes: gauge('shoal_layer_indexes', 'Layers by what is known here of their indexes', ['state']),
    layerIndexesMade: counter('shoal_layer_indexes_made_total', 'Indexes of layers made here, and why not', ['result']),
    layerIndexSeconds: histogram('shoal_layer_index_seconds', 'Seconds to make the index of a layer', duration),
    mounts: gauge('shoal_mounts', 'Images that shoal mount has mounted on this host'),
    mountedBytes: gauge('shoal_mounted_bytes', 'Bytes of the layers that are mounted on this host, each once', ['of']),
    mountReadsFailed: gauge(
      'shoal_mount_reads_failed',
      'Reads of mounted images that ended in EIO since the mounter of this host started',
      ['mounter'],
    ),
    members: gauge('shoal_members', 'Live nodes known to this node, this node included', ['mode']),
    schedulerDecisions: counter('shoal_scheduler_decisions_total', 'Requests for parents answered'),
    schedulerDecisionSeconds: histogram(
      'shoal_scheduler_decision_seconds',
      'Seconds to choose parents',
      [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25],
    ),
    schedulersSilent: counter('shoal_schedulers_silent_total', 'Questions for parents that no scheduler answered'),
    preheats: gauge('shoal_preheats', 'Preheats that this node runs, and those that it has run since its start', [
      'state',
    ]),
    preheatedBytes: counter('shoal_preheated_bytes_total', 'Bytes of blobs that came to this node for preheats'),
    pushedBytes: counter('shoal_pushed_bytes_total', 'Bytes of blobs that clients pushed to this node'),
    homeMissing: gauge('shoal_home_missing', 'Blobs of repositories that this seed keeps, and does not have yet'),
    homeOwed: gauge('shoal_home_owed', 'Blobs, manifests and tags that were pushed and a backend does not have yet'),
    homeOwedSeconds: gauge('shoal_home_owed_seconds', 'For how long the oldest of them has waited'),
    homeWrites: counter('shoal_home_writes_total', 'Blobs, manifests and tags brought to backends, or not', ['result']),
    homeWrittenBytes: counter('shoal_home_written_bytes_total', 'Bytes of content sent to backends'),
    ready: gauge('shoal_ready', '1, or 0 while this node ends and takes no more requests'),
    logLines: counter('shoal_log_lines_total', 'Lines logged', ['level']),
    logLinesLost: counter('shoal_log_lines_lost_total', 'Lines that could not be written to standard error'),
    buildInfo: gauge('shoal_build_info', 'Constant 1, labelled by what is running', ['version', 'commit', 'bun']),
    ...processMetrics(registers),
  }
  // A series that begins with its first event hides that event from rate() and increase(): alerts would come one late.
  for (const level of logLevels) metrics.logLines.inc({ level }, 0)
  for (const result of ['done', 'left', 'broken']) metrics.blobSends.inc({ result }, 0)
  for (const result of ['made', 'cannot', 'failed']) metrics.layerIndexesMade.inc({ result }, 0)
  for (const result of ['whole', 'part']) metrics.pulls.inc({ result }, 0)
  for (const state of ['running', 'done', 'failed', 'cancelled']) metrics.preheats.set({ state }, 0)
  for (const kind of ['tag', 'manifest', 'blob']) metrics.keepRemoved.inc({ kind }, 0)
  for (const result of ['done', 'failed']) metrics.replicationTasks.inc({ result }, 0)
  // It is set where a state is opened: a peer has none, which is not the same as one that is out of reach.
  metrics.stateUp.remove()
  metrics.notServed.inc({ code: 'unavailable' }, 0)
  metrics.piecesRejected.inc({ reason: 'digest' }, 0)
  return metrics
}
