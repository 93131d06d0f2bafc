/** What only Node can do: upload from a path, download to one, send requests by `node:http`. */

export { type DownloadedFile, type DownloadOptions, downloadToFile } from './download-to-file.ts'
export { fileFromPath } from './file-from-path.ts'
export { httpFetch } from './http-fetch.ts'
