/**
 * Thrown by an operation that refuses when it may have written already: the store undoes what it
 * wrote, and its caller gets `outcome` as if it had been returned.
 */
export class Refusal<Outcome extends string = string> extends Error {
  override readonly name = 'Refusal'
  readonly outcome: Outcome

  constructor(outcome: Outcome) {
    super(`The operation is refused: ${outcome}.`)
    this.outcome = outcome
  }
}
