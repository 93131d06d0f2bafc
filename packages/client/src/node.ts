/** What only Node can do: upload from a path, download to one. */

export { type DownloadOptions, downloadToFile } from './download-to-file.ts'
export { fileFromPath } from './file-from-path.ts'
