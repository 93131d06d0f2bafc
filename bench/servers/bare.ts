/** `node:http` and one answer, whatever is asked: what any server on Node stands on. */

import { createServer } from 'node:http'

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

const server = createServer((request, response) => {
  request.resume().on('end', () => {
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.end(JSON.stringify(file))
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('There is no port.')
  console.log(`bare is listening on http://127.0.0.1:${address.port}`)
})
