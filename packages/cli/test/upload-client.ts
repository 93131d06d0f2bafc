/** The calls of the Uploads API against a running server; each must succeed. */

import { type File, Upload, UploadPart, UploadPartPage } from '@coffer/contract'
import type { Coffer } from './start-coffer.ts'

export interface UploadClient {
  begin(bytes: number): Promise<string>
  send(id: string, content: Uint8Array<ArrayBuffer>): Promise<UploadPart>
  /** In the order in which they came. */
  parts(id: string): Promise<UploadPart[]>
  retrieve(id: string): Promise<Upload>
  complete(id: string, part_ids: readonly string[]): Promise<File>
  download(file: string): Promise<Buffer>
}

/** @throws TypeError if the connection breaks, as `fetch` does. */
export function uploadClientOf({ fetch }: Coffer): UploadClient {
  async function ask(path: string, init?: RequestInit): Promise<unknown> {
    const answer = await fetch(`/v1/uploads${path}`, init)
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`${path} is answered ${answer.status}: ${text}`)
    return JSON.parse(text)
  }

  function post(path: string, body: unknown): Promise<unknown> {
    const headers = { 'content-type': 'application/json' }
    return ask(path, { method: 'POST', headers, body: JSON.stringify(body) })
  }

  return {
    async begin(bytes) {
      const about = { filename: 'parts.bin', purpose: 'user_data', mime_type: 'text/plain' }
      return Upload.parse(await post('', { ...about, bytes })).id
    },
    async send(id, content) {
      const body = new FormData()
      body.set('data', new Blob([content]))
      return UploadPart.parse(await ask(`/${id}/parts`, { method: 'POST', body }))
    },
    async parts(id) {
      return UploadPartPage.parse(await ask(`/${id}/parts`)).data
    },
    async retrieve(id) {
      return Upload.parse(await ask(`/${id}`))
    },
    async complete(id, part_ids) {
      const { file } = Upload.parse(await post(`/${id}/complete`, { part_ids }))
      if (file === null) throw new Error(`${id} is completed and has no file.`)
      return file
    },
    async download(file) {
      const answer = await fetch(`/v1/files/${file}/content`)
      if (answer.status !== 200) throw new Error(`${file} is answered ${answer.status}.`)
      return Buffer.from(await answer.arrayBuffer())
    },
  }
}
