/**
 * What the dashboard shows, from top to bottom: what a pull is like for its engine first, then why. `$scope` stands for
 * the nodes that were chosen above. Grafana's own `$__rate_interval` fits the scrape interval and the zoom.
 *
 * Longer than most files, for it is one list of everything that a node measures.
 */
export interface Query {
  readonly expr: string
  /** How a line is called; `{{label}}` is its label. */
  readonly legend: string
}

export interface Panel {
  readonly title: string
  readonly help: string
  /** Grafana's name of it. */
  readonly unit: string
  /** One number, lines, or lines on top of each other. Default: lines. */
  readonly as?: 'number' | 'stack'
  /** The number is bad from here on: up, or, where it is the first of two, down. */
  readonly bad?: { readonly from: number } | { readonly below: number }
  readonly queries: readonly Query[]
}

export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

const q = (expr: string, legend: string): Query => ({ expr, legend })
const rate = (metric: string, labels = '') => `rate(${metric}{$scope${labels}}[$__rate_interval])`
const sum = (by: string, expr: string) => (by === '' ? `sum(${expr})` : `sum by (${by}) (${expr})`)
const quantile = (share: number, metric: string) =>
  `histogram_quantile(${share}, ${sum('le', rate(`${metric}_bucket`))})`
const range = (metric: string, labels = '') => `increase(${metric}{$scope${labels}}[$__range])`

const sentInRange = sum('', range('shoal_registry_sent_bytes_total'))
const sourceInRange = sum('', range('shoal_source_bytes_total'))

export const rows: readonly Row[] = [
  {
    title: 'At a glance',
    panels: [
      {
        title: 'Nodes',
        help: 'That answer Prometheus, of those it knows.',
        unit: 'none',
        as: 'number',
        queries: [q('sum(up{$scope})', 'answer'), q('count(up{$scope})', 'known')],
      },
      {
        title: 'Ending',
        help: 'Nodes that end now: they take no more requests, and finish what is under way.',
        unit: 'none',
        as: 'number',
        bad: { from: 1 },
        queries: [q('count(shoal_ready{$scope} == 0) or vector(0)', 'nodes')],
      },
      {
        title: 'Images pulled',
        help: 'In the time shown above. "In part": the engine had the rest, or gave up.',
        unit: 'none',
        as: 'number',
        queries: [q(sum('result', range('shoal_pulls_total')), '{{result}}')],
      },
      {
        title: 'Registries were spared',
        help: 'Bytes that engines got and no registry sent, in the time shown above.',
        unit: 'bytes',
        as: 'number',
        queries: [q(`clamp_min(${sentInRange} - ${sourceInRange}, 0)`, 'bytes')],
      },
      {
        title: 'Share that was spared',
        help: 'Of all bytes that engines got, in the time shown above.',
        unit: 'percentunit',
        as: 'number',
        bad: { below: 0.5 },
        queries: [q(`clamp_min(1 - ${sourceInRange} / (${sentInRange} > 0), 0)`, 'share')],
      },
      {
        title: 'Stalled',
        help: 'Blobs that engines wait for and nothing comes of.',
        unit: 'none',
        as: 'number',
        bad: { from: 1 },
        queries: [q(sum('', 'shoal_downloads_stalled{$scope}'), 'blobs')],
      },
    ],
  },
  {
    title: 'Pulls',
    panels: [
      {
        title: 'To engines, by where it came from',
        help: 'store: was on the host. swarm: from other nodes. source: from a registry, through this node.',
        unit: 'Bps',
        as: 'stack',
        queries: [q(sum('from', rate('shoal_registry_sent_bytes_total')), '{{from}}')],
      },
      {
        title: 'From registries',
        help: 'What is to stay small.',
        unit: 'Bps',
        as: 'stack',
        queries: [q(sum('source', rate('shoal_source_bytes_total')), '{{source}}')],
      },
      {
        title: 'First byte of a blob',
        help: 'Seconds an engine waits.',
        unit: 's',
        queries: [
          q(quantile(0.5, 'shoal_first_byte_seconds'), 'half'),
          q(quantile(0.95, 'shoal_first_byte_seconds'), '19 of 20'),
          q(quantile(0.99, 'shoal_first_byte_seconds'), '99 of 100'),
        ],
      },
      {
        title: 'Whole blob',
        help: 'Seconds until its last byte.',
        unit: 's',
        queries: [q(quantile(0.5, 'shoal_blob_seconds'), 'half'), q(quantile(0.95, 'shoal_blob_seconds'), '19 of 20')],
      },
      {
        title: 'Requests of engines',
        help: '404 may be right: what is not there, or what the engine is to have from the registry.',
        unit: 'reqps',
        as: 'stack',
        queries: [q(sum('kind, status', rate('shoal_registry_requests_total')), '{{kind}} {{status}}')],
      },
      {
        title: 'Images',
        help: 'Pulled by engines.',
        unit: 'ops',
        as: 'stack',
        queries: [q(sum('result', rate('shoal_pulls_total')), '{{result}}')],
      },
    ],
  },
  {
    title: 'Lazy images',
    panels: [
      {
        title: 'Layers by their indexes',
        help: 'here: can be mounted before they are here. known: the index would come from another node. cannot: fetched whole.',
        unit: 'none',
        queries: [q(sum('state', 'shoal_layer_indexes{$scope}'), '{{state}}')],
      },
      {
        title: 'Indexes made',
        help: 'By seeds, in the time shown above. cannot: such a layer is fetched whole.',
        unit: 'none',
        as: 'number',
        queries: [q(sum('result', range('shoal_layer_indexes_made_total')), '{{result}}')],
      },
      {
        title: 'Mounted',
        help: 'Layers that are mounted on hosts, unpacked: their size, and what of it is here. deduped: other layers had it. fetched: compressed.',
        unit: 'bytes',
        queries: [q(sum('of', 'shoal_mounted_bytes{$scope}'), '{{of}}')],
      },
      {
        title: 'Mounts',
        help: 'Images that shoal mount has mounted, and reads of what is mounted that ended in EIO since the mounters started.',
        unit: 'none',
        queries: [q('sum(shoal_mounts{$scope})', 'images'), q('sum(shoal_mount_reads_failed{$scope})', 'reads failed')],
      },
      {
        title: 'Making an index',
        help: 'Seconds from a whole layer to its index.',
        unit: 's',
        queries: [
          q(quantile(0.5, 'shoal_layer_index_seconds'), 'half'),
          q(quantile(0.95, 'shoal_layer_index_seconds'), '19 of 20'),
        ],
      },
    ],
  },
  {
    title: 'What goes wrong',
    panels: [
      {
        title: 'Not served',
        help: 'The engine went to the registry by itself. The log has the reason of each.',
        unit: 'ops',
        as: 'stack',
        queries: [q(sum('code', rate('shoal_not_served_total')), '{{code}}')],
      },
      {
        title: 'Broken off, or left',
        help: 'Blobs on their way to engines. Left: the engine had enough, or was stopped.',
        unit: 'ops',
        queries: [q(sum('result', rate('shoal_blob_sends_total', ',result!="done"')), '{{result}}')],
      },
      {
        title: 'Blobs that did not come',
        help: 'Or, complete, that did.',
        unit: 'ops',
        as: 'stack',
        queries: [q(sum('result', rate('shoal_downloads_ended_total')), '{{result}}')],
      },
      {
        title: 'Answers of registries',
        help: '401 is where a token is fetched, 429 too much, error and timeout no answer.',
        unit: 'reqps',
        as: 'stack',
        queries: [q(sum('source, status', rate('shoal_source_requests_total')), '{{source}} {{status}}')],
      },
      {
        title: 'Places of registries',
        help: 'Of registries that are at several: how many nodes do without one of them, and what failed there.',
        unit: 'none',
        queries: [
          q('count by (source, endpoint) (shoal_endpoint_up{$scope} == 0)', 'out of use: {{source}} {{endpoint}}'),
          q(sum('source, endpoint', range('shoal_endpoint_failures_total')), 'failed: {{source}} {{endpoint}}'),
        ],
      },
      {
        title: 'Read at each place',
        help: 'Of registries that are at several. The first that works is read.',
        unit: 'Bps',
        as: 'stack',
        queries: [q(sum('source, endpoint', rate('shoal_endpoint_bytes_total')), '{{source}} {{endpoint}}')],
      },
      {
        title: 'Wrong bytes, and who sent them',
        help: 'Thrown away before anybody saw them; whoever sends them is banned.',
        unit: 'none',
        queries: [
          q(sum('reason', 'increase(shoal_pieces_rejected_total{$scope}[$__rate_interval])'), 'pieces: {{reason}}'),
          q(sum('', 'increase(shoal_peers_banned_total{$scope}[$__rate_interval])'), 'bans'),
          q(sum('', 'shoal_bans{$scope}'), 'banned now'),
        ],
      },
      {
        title: 'Lines logged',
        help: 'Warnings and errors, and lines of all levels that could not be written.',
        unit: 'ops',
        queries: [
          q(sum('level', rate('shoal_log_lines_total', ',level=~"warn|error"')), '{{level}}'),
          q(sum('', rate('shoal_log_lines_lost_total')), 'lost'),
        ],
      },
    ],
  },
  {
    title: 'The swarm',
    panels: [
      {
        title: 'Between nodes',
        help: 'Received and sent differ where nodes are not scraped.',
        unit: 'Bps',
        queries: [
          q(sum('', rate('shoal_peer_received_bytes_total')), 'received'),
          q(sum('', rate('shoal_peer_sent_bytes_total')), 'sent'),
        ],
      },
      {
        title: 'Who sends most',
        help: 'The ten nodes that send most to others.',
        unit: 'Bps',
        queries: [q(`topk(10, ${rate('shoal_peer_sent_bytes_total')})`, '{{instance}}')],
      },
      {
        title: 'Transfers',
        help: 'Blobs on their way.',
        unit: 'none',
        queries: [
          q(sum('', 'shoal_downloads{$scope}'), 'to nodes'),
          q(sum('', 'shoal_downloads_stalled{$scope}'), 'stalled'),
          q(sum('', 'shoal_uploads{$scope}'), 'from nodes'),
        ],
      },
      {
        title: 'Members',
        help: 'As the node sees them that knows most, and the one that knows fewest: a gap is a split.',
        unit: 'none',
        queries: [
          q('max by (mode) (shoal_members{$scope})', '{{mode}}'),
          q('min by (mode) (shoal_members{$scope})', '{{mode}}, least'),
        ],
      },
      {
        title: 'Schedulers',
        help: 'Questions for parents, and those that no scheduler answered.',
        unit: 'ops',
        queries: [
          q(sum('', rate('shoal_scheduler_decisions_total')), 'answered'),
          q(sum('', rate('shoal_schedulers_silent_total')), 'not answered'),
        ],
      },
      {
        title: 'Time to choose parents',
        help: 'Of 99 in 100 questions.',
        unit: 's',
        queries: [q(quantile(0.99, 'shoal_scheduler_decision_seconds'), '99 of 100')],
      },
      {
        title: 'Refused nodes',
        help: 'Without a ticket that admits them: no key, an old key, a wrong clock; and, without a key, web pages in browsers.',
        unit: 'ops',
        queries: [q(sum('reason', rate('shoal_peer_refused_total')), '{{reason}}')],
      },
      {
        title: 'Rights',
        help: 'What registries said when they were asked whether a client may have something.',
        unit: 'ops',
        as: 'stack',
        queries: [q(sum('source, outcome', rate('shoal_rights_checks_total')), '{{source}} {{outcome}}')],
      },
    ],
  },
  {
    title: 'Disks',
    panels: [
      {
        title: 'How full caches are',
        help: 'Of what they may take. Full is right: the least recently used goes.',
        unit: 'percentunit',
        queries: [q('shoal_store_disk_bytes{$scope} / shoal_store_limit_bytes', '{{instance}}')],
      },
      {
        title: 'Free on the disk',
        help: 'Of the file system that the store is on, whoever fills it.',
        unit: 'percentunit',
        queries: [q('shoal_disk_free_bytes{$scope} / shoal_disk_bytes', '{{instance}}')],
      },
      {
        title: 'Held',
        help: 'Bytes of blobs, all nodes together: what is here several times counts several times.',
        unit: 'bytes',
        queries: [q(sum('', 'shoal_store_bytes{$scope}'), 'bytes')],
      },
      {
        title: 'Blobs',
        help: 'Whole, and in part.',
        unit: 'none',
        queries: [q(sum('state', 'shoal_blobs{$scope}'), '{{state}}')],
      },
      {
        title: 'Evicted',
        help: 'More than is pulled: caches are too small.',
        unit: 'Bps',
        queries: [q(`topk(10, ${rate('shoal_evicted_bytes_total')})`, '{{instance}}')],
      },
      {
        title: 'Trouble, and rot',
        help: 'Stores that do not take what they should, databases out of reach, and pieces that had become wrong on a disk.',
        unit: 'none',
        queries: [
          q('shoal_store_trouble{$scope} == 1', 'trouble {{instance}}'),
          q('shoal_state_up{$scope} == 0', 'state out of reach {{instance}}'),
          q('increase(shoal_pieces_damaged_total{$scope}[$__rate_interval]) > 0', 'rot {{instance}}'),
        ],
      },
      {
        title: 'Read again',
        help: 'Blobs that are looked at whether they are still right.',
        unit: 'Bps',
        queries: [q(sum('', rate('shoal_scrubbed_bytes_total')), 'bytes')],
      },
      {
        title: "In engines' stores",
        help: 'Read from where the engine of the host keeps it: it takes no disk here.',
        unit: 'bytes',
        queries: [q(sum('', 'shoal_engine_bytes{$scope}'), 'bytes')],
      },
      {
        title: "Blobs in engines' stores",
        help: 'How many these are.',
        unit: 'none',
        queries: [q(sum('', 'shoal_engine_blobs{$scope}'), 'blobs')],
      },
      {
        title: 'Preheats',
        help: 'That run now, and those that ended since the nodes that ran them were started.',
        unit: 'none',
        queries: [q(sum('state', 'shoal_preheats{$scope}'), '{{state}}')],
      },
      {
        title: 'Preheated',
        help: 'Blobs that came to nodes before anybody asked for them.',
        unit: 'Bps',
        queries: [q(sum('', rate('shoal_preheated_bytes_total')), 'bytes')],
      },
      {
        title: 'Pushed',
        help: 'Blobs that clients pushed to seeds.',
        unit: 'Bps',
        queries: [q(sum('', rate('shoal_pushed_bytes_total')), 'bytes')],
      },
      {
        title: 'Missing copies',
        help: 'Blobs of repositories that a seed keeps, and does not have yet.',
        unit: 'none',
        queries: [q('shoal_home_missing{$scope} > 0', 'missing {{instance}}')],
      },
      {
        title: 'Not yet in other clusters',
        help: 'Tags and manifests that are yet to be copied, and those that were copied or could not be.',
        unit: 'none',
        queries: [
          q('max by (target) (shoal_replication_waiting{$scope})', '{{target}}'),
          q(sum('result', range('shoal_replication_tasks_total')), '{{result}}'),
        ],
      },
      {
        title: 'Behind in other clusters',
        help: 'For how long the oldest of those waits.',
        unit: 's',
        queries: [q('max by (target) (shoal_replication_lag_seconds{$scope})', '{{target}}')],
      },
      {
        title: 'Sent to other clusters',
        help: 'Blobs that were not there.',
        unit: 'Bps',
        queries: [q(sum('', rate('shoal_replication_sent_bytes_total')), 'bytes')],
      },
      {
        title: 'Taken away by rules',
        help: 'Tags, manifests and blobs that no --keep keeps.',
        unit: 'none',
        queries: [q(sum('kind', range('shoal_keep_removed_total')), '{{kind}}')],
      },
      {
        title: 'Owed to backends',
        help: 'What was pushed and is not where it is kept for good, and what came there or did not.',
        unit: 'none',
        queries: [
          q('shoal_home_owed{$scope} > 0', 'owed {{instance}}'),
          q(sum('result', range('shoal_home_writes_total')), '{{result}}'),
        ],
      },
      {
        title: 'Sent to backends',
        help: 'Content of images that were pushed here.',
        unit: 'Bps',
        queries: [q(sum('', rate('shoal_home_written_bytes_total')), 'bytes')],
      },
      {
        title: 'Longest owed',
        help: 'For how long a backend has been owed what was pushed.',
        unit: 's',
        queries: [q('max(shoal_home_owed_seconds{$scope})', 'oldest')],
      },
      {
        title: 'Owed to other clusters',
        help: 'Tags and manifests that are yet to be copied, those that were, and tries that failed.',
        unit: 'none',
        queries: [
          q('max by (target) (shoal_replication_waiting{$scope})', 'waiting: {{target}}'),
          q(sum('result', range('shoal_replication_tasks_total')), '{{result}}'),
        ],
      },
      {
        title: 'Sent to other clusters',
        help: 'Blobs that they did not have.',
        unit: 'Bps',
        queries: [q(sum('', rate('shoal_replication_sent_bytes_total')), 'bytes')],
      },
      {
        title: 'How far behind other clusters are',
        help: 'For how long the oldest waits that is yet to be copied.',
        unit: 's',
        queries: [q('max by (target) (shoal_replication_lag_seconds{$scope})', '{{target}}')],
      },
    ],
  },
  {
    title: 'Containers before their image',
    panels: [
      {
        title: 'Layers of pulled images',
        help: 'Mounted, and read as they are needed; or fetched whole and unpacked.',
        unit: 'none',
        as: 'stack',
        queries: [
          q(sum('', range('shoal_snapshotter_lazy_layers_total')), 'mounted'),
          q(sum('', range('shoal_snapshotter_unpacked_layers_total')), 'unpacked'),
        ],
      },
      {
        title: 'Unpacked, by reason',
        help: 'Which layer and why in words: the log of shoal-snapshotter there, and labels of snapshots.',
        unit: 'none',
        as: 'stack',
        queries: [q(sum('reason', range('shoal_snapshotter_unpacked_layers_total')), '{{reason}}')],
      },
      {
        title: 'Calls of containerd',
        help: 'How long it waits for the snapshotter: of ten calls one takes longer.',
        unit: 's',
        queries: [
          q(
            `histogram_quantile(0.9, ${sum('le, method', rate('shoal_snapshotter_call_seconds_bucket'))})`,
            '{{method}}',
          ),
        ],
      },
      {
        title: 'Calls that were refused',
        help: 'Layers that are there already (ALREADY_EXISTS) are what lazy pulls are made of. UNAVAILABLE: no mounter.',
        unit: 'ops',
        queries: [q(sum('code', rate('shoal_snapshotter_call_seconds_count', ',code!="OK"')), '{{code}}')],
      },
      {
        title: 'Snapshots',
        help: 'Layers, and file systems of containers. By version of the snapshotter: hosts.',
        unit: 'none',
        queries: [
          q(sum('kind', 'shoal_snapshotter_snapshots{$scope}'), '{{kind}}'),
          q('count by (version) (shoal_snapshotter_build_info{$scope})', 'hosts with {{version}}'),
        ],
      },
    ],
  },
  {
    title: 'Processes',
    panels: [
      {
        title: 'Processor',
        help: 'A node is one process: one core is all it can use. The ten that use most.',
        unit: 'percentunit',
        queries: [q(`topk(10, ${rate('process_cpu_seconds_total')})`, '{{instance}}')],
      },
      {
        title: 'Memory',
        help: 'The ten that take most.',
        unit: 'bytes',
        queries: [q('topk(10, process_resident_memory_bytes{$scope})', '{{instance}}')],
      },
      {
        title: 'Memory that is used',
        help: 'By the script, as of the last collection of garbage. The ten that use most.',
        unit: 'bytes',
        queries: [q('topk(10, process_heap_bytes{$scope})', '{{instance}}')],
      },
      {
        title: 'Files and connections',
        help: 'Of what the process may have open.',
        unit: 'percentunit',
        queries: [q('topk(10, process_open_fds{$scope} / process_max_fds)', '{{instance}}')],
      },
      {
        title: 'Running for',
        help: 'Since the last start; the ten that were started last.',
        unit: 's',
        queries: [q('bottomk(10, time() - process_start_time_seconds{$scope})', '{{instance}}')],
      },
      {
        title: 'Versions',
        help: 'Nodes of each.',
        unit: 'none',
        as: 'stack',
        queries: [q('count by (version, commit) (shoal_build_info{$scope})', '{{version}} {{commit}}')],
      },
    ],
  },
]
