/** `@tus/server` on a folder, as its README starts it: tus.ts FOLDER */

import { createServer } from 'node:http'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

const [, , directory = ''] = process.argv
const tus = new Server({ path: '/files', datastore: new FileStore({ directory }) })
const server = createServer((request, response) => void tus.handle(request, response))
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('There is no port.')
  console.log(`tus is listening on http://127.0.0.1:${address.port}`)
})
