/**
 * A server that keeps nothing: it drops what it is sent, has one answer and one MiB of bytes. By
 * `node:http`, what any server on Node stands on, or with the argument `fastify` by that.
 */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fastify } from 'fastify'

const file = {
  object: 'file',
  id: 'file-0123456789abcdefghijkl',
  purpose: 'user_data',
  filename: 'file.bin',
  bytes: 4096,
  created_at: 1_800_000_000,
  expires_at: null,
  status: 'processed',
  status_details: null,
}
const bytes = Buffer.alloc(1024 * 1024, 'some content ')

if (process.argv[2] === 'fastify') {
  const app = fastify()
  app.get('/v1/files/:id', async () => file)
  console.log(`fastify is listening on ${await app.listen({ port: 0, host: '127.0.0.1' })}`)
} else {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      if (request.headers.range !== undefined) {
        response.writeHead(206, { 'content-length': bytes.length }).end(bytes)
        return
      }
      response.setHeader('content-type', 'application/json; charset=utf-8')
      response.end(JSON.stringify(file))
    })
  })
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo
    console.log(`bare is listening on http://127.0.0.1:${port}`)
  })
}
