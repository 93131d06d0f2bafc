/** What becomes of a form, however its bytes are cut on their way. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { File } from '@coffer/contract'
import { chunked, createHead } from './form-body.ts'
import type { CorpusForm } from './form-corpus.ts'

export interface Outcomes {
  /** Sends the form in these pieces, each in a write of its own, and tells what came of it. */
  of(form: CorpusForm, pieces: readonly Uint8Array[]): Promise<string>
  /** Sends the form in the chunked coding, all chunks but the last of one size. */
  inChunks(form: CorpusForm, size: number): Promise<string>
}

/**
 * An outcome is the status and the answer without what differs for each file, and the digest of
 * what was stored.
 */
export function createOutcomes(url: string, apiKey: string): Outcomes {
  const port = Number(new URL(url).port)
  const authorization = { authorization: `Bearer ${apiKey}` }

  async function outcome(
    form: CorpusForm,
    framing: string,
    pieces: readonly Uint8Array[],
  ): Promise<string> {
    const type = `Content-Type: multipart/form-data; boundary="${form.boundary}"`
    const head = createHead(apiKey, type, framing, 'Connection: close')
    const answer = await exchange(port, [Buffer.from(head), ...pieces])
    const [heading = '', body = ''] = answer.split('\r\n\r\n')
    const status = heading.split(' ')[1]
    if (status !== '200') return `${status} ${body}`
    const { id, created_at: _, ...rest } = File.parse(JSON.parse(body))
    const stored = await fetch(`${url}/v1/files/${id}/content`, { headers: authorization })
    const sum = createHash('sha256')
      .update(await stored.bytes())
      .digest('hex')
    await fetch(`${url}/v1/files/${id}`, { method: 'DELETE', headers: authorization })
    return `${status} ${JSON.stringify(rest)} ${sum}`
  }

  return {
    of: (form, pieces) => outcome(form, `Content-Length: ${form.body.length}`, pieces),
    inChunks: (form, size) =>
      outcome(form, 'Transfer-Encoding: chunked', [chunked(form.body, [size])]),
  }
}

/** The form in two pieces, cut at each byte, or at every so many of them. */
export function everySplit({ body }: CorpusForm, step = 1): Uint8Array[][] {
  const splits: Uint8Array[][] = []
  for (let at = 1; at < body.length; at += step) {
    splits.push([body.subarray(0, at), body.subarray(at)])
  }
  return splits
}

/** Writes the pieces one after the other and gives all that is answered until the end. */
async function exchange(port: number, pieces: readonly Uint8Array[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const received: Buffer[] = []
  socket.on('data', (bytes: Buffer) => received.push(bytes))
  // A server that refuses early may close while the rest is being written.
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  for (const piece of pieces) {
    if (piece.length === 0 || socket.destroyed) continue
    await new Promise((resolve) => socket.write(piece, resolve))
    // The kernel has it; a turn later the server has it as well, if not always.
    await nextTurn()
  }
  await closed
  return Buffer.concat(received).toString()
}
