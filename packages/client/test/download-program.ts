/** Downloads a file to a path, and says so with each piece. */

import { ApiClient, Configuration, FilesApi } from '../src/index.ts'
import { downloadToFile } from '../src/node.ts'

const [host, accessToken, id = '', path = ''] = process.argv.slice(2)
const api = new FilesApi(new ApiClient(new Configuration({ host, accessToken })))
await downloadToFile(api, id, path, { onProgress: (received) => console.log(received) })
