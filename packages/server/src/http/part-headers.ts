/** Reads the header block of one part of a multipart/form-data body (RFC 7578 §4). */

import { MultipartError } from './multipart-error.ts'

export interface PartHeaders {
  readonly name: string
  readonly filename: string | undefined
}

/** @throws MultipartError `malformed`, with a sentence that names the fault. */
export function parsePartHeaders(block: Uint8Array): PartHeaders {
  const headers = readHeaders(decodeUtf8(block, 'The headers of a part of the form'))
  const encoding = headers.get('content-transfer-encoding')?.toLowerCase() ?? 'binary'
  // RFC 7578 §4.7 forbids encoded parts; to store the encoded bytes as the file would be a lie.
  if (!['', '7bit', '8bit', 'binary'].includes(encoding)) {
    throw malformed(`The form has a part with the Content-Transfer-Encoding '${encoding}'.`)
  }
  const disposition = headers.get('content-disposition')
  if (disposition === undefined) {
    throw malformed('The form has a part without a Content-Disposition header.')
  }
  const parameters = readDisposition(disposition)
  const name = parameters.get('name')
  if (name === undefined) throw malformed('The form has a part without a name.')
  const extended = parameters.get('filename*')
  const filename =
    extended === undefined ? unescapeName(parameters.get('filename')) : decodeExtended(extended)
  return { name: unescapeName(name), filename }
}

function readHeaders(block: string): Map<string, string> {
  const headers = new Map<string, string>()
  for (const line of block.split('\r\n')) {
    // A boundary may hold a colon; its line then looks like a header, but ends the part.
    const match = /^(?!--)([!#$%&'*+\-.^_`|~\w]+):([^\r\n\0]*)$/.exec(line)
    if (match === null) throw malformed('The form has a part with a malformed header line.')
    const [, name = '', value = ''] = match
    if (headers.has(name.toLowerCase())) {
      throw malformed(`The form has a part with two ${name} headers.`)
    }
    headers.set(name.toLowerCase(), trimBlanks(value))
  }
  return headers
}

/** Not `trim`, which takes a byte order mark and all of Unicode's blanks for nothing. */
function trimBlanks(text: string): string {
  let [start, end] = [0, text.length]
  while (isBlank(text[start])) start += 1
  while (end > start && isBlank(text[end - 1])) end -= 1
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

/**
 * One `; name=value` of a Content-Disposition, the value quoted or a token; sticky. A run of
 * backslashes matches in one way only: with two, a run that nothing closes takes exponential time.
 */
const parameter =
  /[ \t]*;[ \t]*([\w-]+\*?)[ \t]*=[ \t]*(?:"((?:\\["\\]|[^"\\]|\\(?!\\))*)"|([^\s";]*))/y

function readDisposition(value: string): Map<string, string> {
  const type = /^form-data(?=[ \t]*(?:;|$))/i.exec(value)
  if (type === null) throw malformed("The form has a part whose disposition is not 'form-data'.")
  const parameters = new Map<string, string>()
  let at = type[0].length
  while (at < value.length) {
    parameter.lastIndex = at
    const match = parameter.exec(value)
    if (match === null) {
      if (/^[ \t;]*$/.test(value.slice(at))) break
      throw malformed('The form has a part with a malformed Content-Disposition header.')
    }
    const [, name = '', quoted, token = ''] = match
    if (parameters.has(name.toLowerCase())) {
      throw malformed(`The form has a part with two '${name}' parameters.`)
    }
    // curl escapes quotes and backslashes; a backslash before anything else is a Windows path.
    parameters.set(name.toLowerCase(), quoted?.replace(/\\(["\\])/g, '$1') ?? token)
    at = parameter.lastIndex
  }
  return parameters
}

/** Undoes the three escapes that browsers and most SDKs write (WHATWG HTML, multipart/form-data). */
function unescapeName<Text extends string | undefined>(text: Text): Text
function unescapeName(text: string | undefined): string | undefined {
  return text?.replace(/%22/g, '"').replace(/%0D/gi, '\r').replace(/%0A/gi, '\n')
}

/** Reads an RFC 5987 value: `UTF-8'language'percent-encoded`. */
function decodeExtended(value: string): string {
  const fault = "The form has a part with a malformed 'filename*' parameter."
  const match = /^(utf-8|iso-8859-1)'[\w-]*'((?:%[\da-f]{2}|[!#$&+\-.^_`|~\w])*)$/i.exec(value)
  if (match === null) throw malformed(fault)
  const [, charset = '', encoded = ''] = match
  const bytes = Buffer.from(
    encoded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
  return charset.toLowerCase() === 'utf-8' ? decodeUtf8(bytes, fault) : bytes.toString('latin1')
}

function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw malformed(what.endsWith('.') ? what : `${what} are not UTF-8.`)
  }
}

function malformed(message: string): MultipartError {
  return new MultipartError('malformed', message)
}
