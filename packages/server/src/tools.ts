export { openMigrationSource, openMigrationTarget } from './open-migration.ts'
export { nameOfPair, readStorePair, type StorePair, StorePairError } from './store-pair.ts'
export { type Backup, backUp, type CopyOptions } from './tools/backup.ts'
export { type CheckOptions, type FileChecks, openFileChecks } from './tools/check-files.ts'
export { fsck, fsckAndRepair } from './tools/fsck.ts'
export type { InspectOptions } from './tools/inspect.ts'
export {
  type LostBlob,
  type Migrated,
  type MigrateOptions,
  type MigrationStep,
  migrate,
} from './tools/migrate.ts'
export { type Places, placesOf } from './tools/places.ts'
export type { Fault, Report } from './tools/report.ts'
export { type Restored, restore } from './tools/restore.ts'
export { type Damage, type ScrubOptions, type ScrubOutcome, scrub } from './tools/scrub.ts'
