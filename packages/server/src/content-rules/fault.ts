/** What is wrong with content, and where. */

export interface Fault extends FaultText {
  /** From 1, empty ones counted; null where it is the content as a whole. */
  readonly line: number | null
  /** Of the line's first byte, from the beginning of the content. */
  readonly offset: number | null
}

/** What is wrong, wherever it is. */
export interface FaultText {
  readonly code: string
  /** A sentence, in the vendor's words where they are known. */
  readonly message: string
  /** The parameter that is meant, as `body.model`; null where it is the whole line or content. */
  readonly param: string | null
  /** What would have been right, as 'a string'. */
  readonly expected: string
}

export type Tell = (fault: FaultText) => void

export function missing(param: string): FaultText {
  return {
    ...{ code: 'missing_required_parameter', message: `Missing required parameter: '${param}'.` },
    ...{ param, expected: `the parameter '${param}'` },
  }
}

/** @param expected as in 'a string'. */
export function wrongType(param: string, expected: string): FaultText {
  return { code: 'invalid_type', message: `'${param}' must be ${expected}.`, param, expected }
}

/** @param allowed what would do. */
export function wrongValue(param: string, allowed: readonly (string | number)[]): FaultText {
  const values = allowed.map((value) => (typeof value === 'string' ? `'${value}'` : value))
  const expected = values.length === 1 ? `${values[0]}` : `one of ${values.join(', ')}`
  return { code: 'invalid_value', message: `'${param}' must be ${expected}.`, param, expected }
}

/** Of the content as a whole. */
export function ofContent(code: string, message: string, expected: string): Fault {
  return { line: null, offset: null, code, message, param: null, expected }
}

const mostShown = 128

/** Text of content, short enough for a sentence, and never half of a character. */
export function shown(text: string): string {
  const cut = text.length > mostShown ? `${text.slice(0, mostShown - 1)}…` : text
  return cut.toWellFormed()
}
