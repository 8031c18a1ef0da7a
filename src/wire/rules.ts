/** The deadlines and caps of the wire, in one place. Times in ms. */
export const wireRules = {
  /** For a control call as a whole. */
  callDeadline: 2_000,
  /** For a ping: with two of them a silent node is still dropped in time everywhere. */
  pingDeadline: 1_500,
  /** Opening a session, hello exchange included. */
  dialDeadline: 4_000,
  /** Of two nodes that dial each other one waits for the other's socket; a dial older than this may hang, and has no claim. */
  dialTurn: 1_000,
  /** The other side's hello frame after a socket opened. */
  helloDeadline: 5_000,
  /** Sessions are pinged so often, and given up after so long a silence. */
  pingEvery: 2_000,
  silentAfter: 6_000,
  /** A frame that is not read in time: queued bytes at which a session is given up. */
  sessionBacklog: 8 * 1024 * 1024,
  /** A piece must be here by then, the wait for the parent's turn included. Slower parents are replaced. */
  pieceDeadline: 20_000,
  /** A request body must be here by then. */
  bodyDeadline: 5_000,
  /** Most bytes of a piece: the largest piece length there is. */
  pieceBytes: 4 * 1024 * 1024,
  /** Pieces named in one piece request. */
  candidates: 256,
  /** Bytes of a bitmap of pieces: those of the largest blob there may be. */
  bitmapBytes: 8192,
  /** Pieces fetched at once by this node: so many have memory and a connection. */
  piecesInFlight: 192,
  /** Seconds without traffic after which the peer port closes a connection, a stalled piece included. */
  idleSeconds: 20,
  /** Seconds an unused connection to a peer port is kept; the runtime may take 8 more, for calls that it makes. */
  keepSeconds: 8,
} as const

/** Where the calls live on the peer port. */
export const routes = {
  piece: '/shoal/v1/blobs/:digest/pieces/:list',
  session: '/shoal/v1/session',
  schedule: '/shoal/v1/schedule',
  announce: '/shoal/v1/announce',
  fetch: '/shoal/v1/fetch',
  resolve: '/shoal/v1/resolve',
  ping: '/shoal/v1/ping',
} as const

/** Header names. */
export const headers = {
  /** In a request for any piece: those that are not wanted, as a bitmap in base64. */
  unwanted: 'x-shoal-unwanted',
  /** In a request for any piece: the piece from which on they are of most use. */
  from: 'x-shoal-from',
  /** In a request for a piece: nobody waits for it. */
  background: 'x-shoal-background',
  /** In a request for a piece: it may come from whoever else is being sent it. Where others are to ask then stands beside it. */
  follow: 'x-shoal-follow',
  /** In a request for a piece: it may be sent while it is only on its way to who is asked. */
  coming: 'x-shoal-coming',
  /** In a refusal: the node that is being sent the piece named beside it, and passes it on as it comes. */
  elsewhere: 'x-shoal-elsewhere',
  /** Of the node that is spoken of: the base of its peer port, and its zone as in a URL. */
  url: 'x-shoal-url',
  zone: 'x-shoal-zone',
  /** Index of the piece that an answer carries. */
  piece: 'x-shoal-piece',
  /** Bytes that the piece has. The runtime corrects `content-length` when a file is shorter than it should be. */
  length: 'x-shoal-length',
  /** Node id of the sender: of whoever asks in a request, of whoever answers in a reply to a ping. */
  node: 'x-shoal-node',
  /** In a request: what admits it where the cluster has a key. */
  ticket: 'x-shoal-ticket',
  /** In a request: the span that it belongs to, where it is traced (W3C Trace Context). */
  trace: 'traceparent',
  /** In an answer to a ticket: proves that it is one. */
  seal: 'x-shoal-seal',
} as const
