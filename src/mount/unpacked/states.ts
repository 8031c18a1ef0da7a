/** What is known of layers, written beside them when it has changed. */
import { Failure } from '../../failure.ts'
import type { Layer } from './layer.ts'
import { writeState } from './state-file.ts'

export class States {
  /** Hash of what was written last. */
  readonly #written = new Map<Layer, string>()

  /** A disk that takes it not is told of at the layer. */
  async write(layer: Layer): Promise<void> {
    const state = layer.state()
    const said = Bun.hash(
      Buffer.concat([Buffer.from(JSON.stringify(state.facts)), state.own, state.lent, state.verified]),
    )
    if (this.#written.get(layer) === String(said)) return
    try {
      await writeState(layer.folder.state, state)
      this.#written.set(layer, String(said))
    } catch (error) {
      layer.troubles.tell(`what is known of the layer cannot be written down: ${Failure.from(error).message}`)
    }
  }

  forget(layer: Layer): void {
    this.#written.delete(layer)
  }
}
