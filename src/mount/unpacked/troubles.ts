/** What was wrong lately, in sentences for people. */
const most = 5

export class Troubles {
  /** Newest first. */
  #all: readonly string[] = []

  get all(): string[] {
    return [...this.#all]
  }

  /** Said again, it is not told twice. */
  tell(sentence: string): void {
    this.#all = [sentence, ...this.#all.filter((each) => each !== sentence)].slice(0, most)
  }
}
