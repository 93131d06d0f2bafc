/** The faults that a store of files is known for. A test of durability must notice each. */

import type { Breakage } from './broken-build.ts'

export const noFileSync: Breakage = {
  fault: 'files of blobs are not synced',
  file: 'packages/server/src/blobs/files.ts',
  text: '  await handle.datasync()\n  const { size }',
  replacement: '  const { size }',
}

export const ignoredFailure: Breakage = {
  fault: 'a failed sync of a file is ignored',
  file: 'packages/server/src/blobs/files.ts',
  text: '  await handle.datasync()\n  const { size }',
  replacement: '  await handle.datasync().catch(() => {})\n  const { size }',
}

export const noSmallSync: Breakage = {
  fault: 'the database of small blobs is not synced',
  file: 'packages/server/src/blobs/small-blob-operations.ts',
  text: "exec('pragma secure_delete = fast')",
  replacement: "exec('pragma secure_delete = fast; pragma synchronous = off')",
}

export const noFolderSync: Breakage = {
  fault: 'folders are not synced',
  file: 'packages/server/src/blobs/folder-sync.ts',
  text: '  await handle.sync()\n',
  replacement: '',
}

/** The setting that most instructions for SQLite recommend. */
export const normalCommits: Breakage = {
  fault: 'SQLite commits without a sync',
  file: 'packages/server/src/sqlite/writer-thread.ts',
  text: 'synchronous = full',
  replacement: 'synchronous = normal',
}

export const rowBeforeBlob: Breakage = {
  fault: 'the row does not wait for the bytes',
  file: 'packages/server/src/blobs/blob-store.ts',
  text: '        await driver.write(id, intake.pieces())\n',
  replacement: `        const pieces = await Array.fromAsync(intake.pieces(), (piece) => piece.slice())
        const gathered = async function* () { yield* pieces }
        void driver.write(id, gathered()).catch(() => {})
`,
}

export const unlinkBeforeRow: Breakage = {
  fault: 'the bytes of a deleted file go before its row',
  file: 'packages/server/src/service/files.ts',
  text: '      const loose = await metadata.deleteFile(',
  replacement: `      const segments = await metadata.listSegments({ project_id, file_id: id })
      for (const { blob_id } of segments) await blobs.delete(blob_id)
      const loose = await metadata.deleteFile(`,
}
