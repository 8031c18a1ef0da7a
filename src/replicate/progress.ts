/** How far replication has come: what an operator is told. */
export interface Waiting {
  /** `docker.io/corp/app:v1` */
  readonly what: string
  /** Wall ms. */
  readonly addedAt: number
  readonly dueAt: number
  readonly tries: number
  readonly lastError?: string
}

export interface Progress {
  readonly pattern: string
  readonly target: string
  readonly deletes: boolean
  readonly waiting: number
  /** How long the oldest of what is not there yet waits, ms; 0 where everything is there. */
  readonly lagMs: number
  /** The oldest of them. */
  readonly oldest: readonly Waiting[]
}

export interface Replicating {
  /** One for each rule. @throws {Failure} `unavailable` while the state is out of reach */
  progress(): Promise<Progress[]>
}
