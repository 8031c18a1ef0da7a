/** Asks again and again, one question after the other, while somebody looks. */

export interface Question {
  /** Told what went wrong by throwing. */
  ask(): Promise<void>
  readonly everyMs: number
}

export interface Timer {
  after(ms: number, task: () => void): () => void
}

export class Poll {
  readonly #questions: readonly Question[]
  readonly #timer: Timer
  readonly #failed: (error: unknown) => void
  #stops: (() => void)[] = []
  #round = 0

  constructor(questions: readonly Question[], timer: Timer, failed: (error: unknown) => void) {
    this.#questions = questions
    this.#timer = timer
    this.#failed = failed
  }

  /** Asks all of them now, and each again when its time has come. */
  start(): void {
    this.stop()
    const round = this.#round
    for (const [i, question] of this.#questions.entries()) void this.#ask(question, i, round)
  }

  stop(): void {
    this.#round++
    for (const stop of this.#stops) stop?.()
    this.#stops = []
  }

  async #ask(question: Question, i: number, round: number): Promise<void> {
    try {
      await question.ask()
    } catch (error) {
      if (round === this.#round) this.#failed(error)
    }
    // Started anew meanwhile, or stopped.
    if (round === this.#round)
      this.#stops[i] = this.#timer.after(question.everyMs, () => void this.#ask(question, i, round))
  }
}
