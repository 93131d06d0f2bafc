/** Uploads a file in parts, and prints what a later call needs to go on with each that arrived. */

import { ApiClient, Configuration, UploadsApi, uploadLargeFile } from '../src/index.ts'
import { fileFromPath } from '../src/node.ts'

const [host, accessToken, path = '', partBytes] = process.argv.slice(2)
const uploads = new UploadsApi(new ApiClient(new Configuration({ host, accessToken })))
await uploadLargeFile(uploads, await fileFromPath(path), 'user_data', {
  partBytes: Number(partBytes),
  parallel: 2,
  onState: (state) => console.log(JSON.stringify(state)),
})
