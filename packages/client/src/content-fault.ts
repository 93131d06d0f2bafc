/** What servers tell of content that is not as it has to be. */

/** One thing that is wrong with a file's content. */
export interface ContentFault {
  /** From 1, empty ones counted; null where it is the file as a whole. */
  line: number | null
  /** Of the line's first byte in the file; null where it is the file as a whole. */
  offset: number | null
  /** As `missing_required_parameter`. */
  code: string
  /** What is wrong, as a sentence. */
  message: string
  /** The parameter that is meant, as `body.model`, if it is one. */
  param: string | null
  /** What would have been right, as `a string`. */
  expected: string
}

export interface ContentFaults {
  /** The first hundred. */
  readonly details: ContentFault[]
  /** Also of those that are not told. */
  readonly details_total: number
}

/** Of an answer; other servers may give other things these names. */
export function readFaults(answer: Readonly<Record<string, unknown>>): ContentFaults {
  const { details: told, details_total: total } = answer
  const details = Array.isArray(told) ? told.flatMap(readFault) : []
  const isTotal = typeof total === 'number' && total >= details.length
  return { details, details_total: isTotal ? total : details.length }
}

/** One fault, or none. */
function readFault(value: unknown): ContentFault[] {
  if (typeof value !== 'object' || value === null) return []
  const { line, offset, code, message, param, expected } = value as Record<string, unknown>
  if (typeof message !== 'string') return []
  return [
    {
      line: typeof line === 'number' ? line : null,
      offset: typeof offset === 'number' ? offset : null,
      code: typeof code === 'string' ? code : '',
      message,
      param: typeof param === 'string' ? param : null,
      expected: typeof expected === 'string' ? expected : '',
    },
  ]
}
