/** Uploads and downloads a file that is never in memory as a whole; prints what that took. */

import { ApiClient, Configuration, FilesApi } from '../src/index.ts'

const MiB = 1024 * 1024
const total = 256 * MiB

async function* generate(): AsyncGenerator<Uint8Array> {
  for (let made = 0; made < total; made += MiB) yield new Uint8Array(MiB).fill(made / MiB)
}

const [host, accessToken] = process.argv.slice(2)
const api = new FilesApi(new ApiClient(new Configuration({ host, accessToken })))
// The first request loads what any request needs.
await api.listFiles()
const atStart = process.memoryUsage.rss()
let peak = 0
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss())
}

const { id, bytes } = await api.createFile(generate(), 'user_data', { onProgress: look })
const upload = peak - atStart
peak = 0
let received = 0
for await (const piece of await api.openFile(id)) {
  received += piece.length
  look()
}
console.log(JSON.stringify({ bytes, received, upload, download: peak - atStart }))
